"""What somebody configured: the environment, the file, an address of a Redis; and what the kernel
says of mounts, whose names others choose."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.fuzz.target import Decoder, Target, text_of
from volumelease import settings
from volumelease.authorities.redis.addresses import address_of
from volumelease.errors import SettingsInvalid
from volumelease.paths import mounts

SECRET = "5ecretword"

ENVIRONMENT = b"""VOLUMELEASE_TTL=20
VOLUMELEASE_REDIS_URL=redis://u:5ecretword@host:6379/1
VOLUMELEASE_SCOPE=volume
VOLUMELEASE_GUARD=warn
VOLUMELEASE_HTTP=[::1]:9109
VOLUMELEASE_ROOTS=models,cache/hub
VOLUMELEASE_REDIS_REPLICAS=1
VOLUMELEASE_TOKEN=7
VOLUMELEASE_SOCKET=/run/x.sock
RUNPOD_POD_ID=abc"""
FILE = b"""ttl = 20.5
redis_url = "rediss://u:5ecretword@host:6379/1"
roots = ["models", "cache/hub"]
http = ":9109"
log = "debug"
redis_replicas = 2
"""
URLS = (
    b"redis://user:5ecretword@host:6379/2",
    b"rediss://[::1]:6379?db=1",
    b"redis+sentinel://:5ecretword@a:26379,b/mymaster/1?sentinel_password=5ecretword",
    b"unix:///run/redis.sock?db=2",
)
MOUNTS = b"""22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 22 0:40 /\\040x /workspace rw master:1 shared:2 - fuse.mfs mfsmaster:9421 rw,user_id=0
41 22 0:41 / /runpod-volume rw - nfs4 host:/x rw,vers=4.2"""


def _environment(data: bytes) -> None:
    environ = {}
    for line in text_of(data.replace(b"\0", b"")).split("\n"):
        name, _, value = line.partition("=")
        environ[name] = value
    with suppress(SettingsInvalid):
        _use(settings.load(environ, init_environ="/dev/null"))


@cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="volumelease-fuzz-")) / settings.FILE_NAME


def _file(data: bytes) -> None:
    _place().write_bytes(data)
    with suppress(SettingsInvalid):
        _use(settings.load({}, config=_place(), init_environ="/dev/null"))


def _use(found: settings.Settings) -> None:
    """What a process does first with its settings."""
    shown = [value for name, value in found._asdict().items() if name != "redis_url"]
    assert SECRET not in repr(found) or SECRET in repr(shown), "the address is shown"
    with suppress(OSError):
        Path(found.socket).exists()
    if found.volume is not None:
        with suppress(OSError):
            Path(found.volume).stat()
    host, _, port = found.http.rpartition(":")
    assert found.http == settings.HTTP_OFF or 0 < int(port) < 65_536, host
    assert found.ttl is None or found.ttl >= settings.LEAST_TTL
    assert all(root and not root.startswith("/") for root in found.roots)


def _init_environment(data: bytes) -> None:
    place = _place().with_name("environ")
    place.write_bytes(data)
    found = settings.load({}, init_environ=place)
    assert len(found.worker) <= 100


def _url(data: bytes) -> None:
    said = ""
    with suppress(SettingsInvalid):
        try:
            found = address_of(text_of(data))
        except SettingsInvalid as error:
            said = str(error)
            raise
        elsewhere = repr((found.places, found.path, found.service, found.tls_options))
        assert SECRET not in repr(found) or SECRET in elsewhere, "the password is shown"
        assert all(0 < port < 65_536 for _, port in found.places)
        assert 0 <= found.database < 2**31
    assert SECRET not in said, "the password is in the error"


def _mounts(data: bytes) -> None:
    for mount in mounts.parse_mounts(data):
        mounts.judge(mount)


def decoders() -> Iterator[Decoder]:
    lines = tuple(line for line in ENVIRONMENT.split(b"\n"))
    yield Decoder("environment", _environment, (ENVIRONMENT, *lines))
    yield Decoder("file", _file, (FILE,))
    pid_1 = b"PATH=/bin\0RUNPOD_POD_ID=abc\0RUNPOD_DC_ID=EU-1\0"
    yield Decoder("init", _init_environment, (pid_1,))
    yield Decoder("url", _url, URLS)
    yield Decoder("mounts", _mounts, (MOUNTS,))


TARGET = Target("settings", decoders)
