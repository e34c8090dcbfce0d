"""Configuration, read in one place: the environment, then ``volumelease.toml``, then defaults."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, cast

from volumelease.errors import SettingsInvalid

PREFIX: Final = "VOLUMELEASE_"
HTTP_OFF: Final = "off"
MOST_ROOTS: Final = 16
"""Each costs every scrape, and every sweep of the detection."""
FILE_NAME: Final = "volumelease.toml"
LEAST_TTL: Final = 2.0
_PASSED_TO_CHILDREN: Final = frozenset({"TOKEN", "PATHS", "MODE", "CONFIG", "DRAFT", "ENFORCEMENT"})
"""Names of ours in the environment that are no settings: what ``hold`` gives its command."""

_IDENTITY: Final = {
    "worker": "RUNPOD_POD_ID",
    "endpoint": "RUNPOD_ENDPOINT_ID",
    "datacenter": "RUNPOD_DC_ID",
    "volume_id": "RUNPOD_VOLUME_ID",
}


class Settings(NamedTuple):
    """All settings of this process. Its ``repr`` never shows a password."""

    volume: str | None = None
    scope: Literal["path", "volume"] = "path"
    authority: Literal["auto", "volume", "redis"] = "auto"
    ttl: float | None = None
    """Seconds; None: whatever the volume was made with."""
    redis_url: str | None = None
    redis_password_file: str | None = None
    redis_replicas: int = 0
    """Replicas that must have what a Redis granted before it counts (WAIT)."""
    socket: str = "/run/volumelease/daemon.sock"
    guard: Literal["enforce", "warn", "off"] = "enforce"
    http: str = "127.0.0.1:9109"
    """Where the daemon serves metrics and status, or ``off``."""
    http_token_file: str | None = None
    """A file with the token that every request of the HTTP server must bear."""
    http_cert_file: str | None = None
    http_key_file: str | None = None
    roots: tuple[str, ...] = ()
    """The protected subtrees, relative to the volume: writes there are watched, and metrics are
    told apart by them."""
    handoff: Literal["on", "off"] = "off"
    """Whether each lease below a root is compared with what the one before it left."""
    log: Literal["debug", "info", "warning", "error"] = "info"
    worker: str = ""
    endpoint: str = ""
    datacenter: str = ""
    volume_id: str = ""

    def __repr__(self) -> str:
        shown = self._asdict() | {"redis_url": "(hidden)" if self.redis_url else None}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def load(
    environ: Mapping[str, str],
    *,
    config: str | os.PathLike[str] | None = None,
    init_environ: str | os.PathLike[str] = "/proc/1/environ",
) -> Settings:
    """The settings of a process with this environment.

    ``config`` (else the file that VOLUMELEASE_CONFIG names) must exist. Errors:
    ``SettingsInvalid``, which names the setting, its value and what is allowed.
    """
    values: dict[str, Any] = {}
    config = config or environ.get(f"{PREFIX}CONFIG")
    if config:
        values.update(_from_file(config))
    for name in environ:  # names first: other people's secrets are not even looked at
        if name.startswith(PREFIX) and name[len(PREFIX) :] not in _PASSED_TO_CHILDREN:
            key = name[len(PREFIX) :]
            key = key.lower() if key.isupper() else key  # environments tell the cases apart
            if key not in _CHECKS and _is_service_link(name, environ[name]):
                continue
            values[key] = _checked(key, environ[name], name)
    values.update(_who(environ, init_environ))
    return Settings(**values)


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes put that into the environment, which it does in every container of a
    namespace for each Service of it: here one called ``volumelease`` or ``volumelease-...``.

    ``..._PORT`` counts only with the address that a link has there: somebody may take it for a
    setting (``VOLUMELEASE_HTTP_PORT=9110``). Source: kubernetes.io, Service, environment variables.
    """
    import re

    stem = rf"{PREFIX[:-1]}(_[A-Z0-9_]+)?"
    port = "PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
    if re.fullmatch(rf"{stem}_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|{port})", name):
        return True
    address = re.match("(tcp|udp|sctp)://", value)
    return address is not None and re.fullmatch(rf"{stem}_PORT", name) is not None


def _from_file(config: str | os.PathLike[str]) -> dict[str, Any]:
    import tomllib

    try:
        with open(config, "rb") as file:
            source = tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsInvalid(
            f"{config} can't be read as configuration: {error}",
            advice="Correct the file, or unset VOLUMELEASE_CONFIG (--config)",
            setting=str(config),
            value=None,
        ) from error
    return {key: _checked(key, value, f"{key} in {config}") for key, value in source.items()}


def _who(environ: Mapping[str, str], init_environ: str | os.PathLike[str]) -> dict[str, str]:
    """Who this worker is. A shell in the container has lost these names; PID 1 has them."""
    found = {key: environ[name] for key, name in _IDENTITY.items() if environ.get(name)}
    if len(found) < len(_IDENTITY):
        try:
            with open(init_environ, "rb") as file:
                pairs = file.read().split(b"\0")
        except OSError:
            pairs = []
        for pair in pairs:
            name, _, value = pair.decode(errors="replace").partition("=")
            for key, wanted in _IDENTITY.items():
                if name == wanted and key not in found:
                    found[key] = value
    return {key: value[:100] for key, value in found.items()}


def _checked(key: str, value: Any, shown: str) -> Any:
    check = _CHECKS.get(key)
    if check is None:
        raise SettingsInvalid(
            f"unknown setting {shown}",
            advice=_did_you_mean(key),
            setting=shown,
            value=None,
        )
    try:
        return check(value)
    except ValueError as error:
        # An address may hold a password, wherever it was pasted, and however it was spelled.
        secret = key == "redis_url" or "://" in str(value)
        raise SettingsInvalid(
            f"{shown}={'(hidden)' if secret else repr(value)}: {error}",
            advice="Correct it, or leave it away for the default",
            setting=shown,
            value=None if secret else value,
        ) from None


def _did_you_mean(key: str) -> str:
    import difflib

    known = sorted(_CHECKS)
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    return f"{hint}Known: {', '.join(known)}"


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return cast(str, value)

    return check


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be a text that is not empty, without NUL")
    return value


def _ttl(value: Any) -> float:
    try:
        seconds = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < LEAST_TTL:
        raise ValueError(f"must be seconds, a number of at least {LEAST_TTL:g}")
    return seconds


def _number(text: str) -> bool:
    """Whether it is one that nobody has to look at twice."""
    return text.isascii() and text.isdecimal() and len(text) <= 9


def _address(value: Any) -> str:
    if value == HTTP_OFF:
        return HTTP_OFF
    if not is_address(_text(value)):
        raise ValueError("must be HOST:PORT, :PORT or off")
    return cast(str, value)


def is_address(value: str) -> bool:
    """``HOST:PORT``; ``:PORT`` is every address of this machine."""
    _, colon, port = value.rpartition(":")
    return bool(colon) and _number(port) and 0 < int(port) < 65_536


def _roots(value: Any) -> tuple[str, ...]:
    """``models,cache/hub``, or a list in the file; ``.`` is the whole volume."""
    import unicodedata

    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("must be paths on the volume, with commas between them")
    found = tuple(unicodedata.normalize("NFC", _without_dots(name.strip())) for name in names)
    if len(found) > MOST_ROOTS or len(set(found)) < len(found):
        raise ValueError(f"must be at most {MOST_ROOTS} paths, each once")
    if any(not name or {"..", ""} & set(name.split("/")) for name in found):
        raise ValueError("must be paths on the volume, like models or cache/hub, . for all of it")
    return found


def _without_dots(name: str) -> str:
    """``./models`` is ``models`` to the kernel. Leases are told by names without such dots: a
    root that kept one would find none of them, and call each leased write a violation."""
    parts = [part for part in name.strip("/").split("/") if part != "."]
    return "/".join(parts) if parts else "."


def _redis_url(value: Any) -> str:
    schemes = ("redis://", "rediss://", "redis+sentinel://", "rediss+sentinel://", "unix://")
    if not _text(value).startswith(schemes):
        raise ValueError(f"must begin with {', '.join(schemes)}")
    return cast(str, value)


def _replicas(value: Any) -> int:
    if type(value) not in (int, str) or not _number(str(value)) or int(value) > 100:
        raise ValueError("must be a number of replicas, 0 to 100")
    return int(value)


_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "volume": _text,
    "scope": _one_of("path", "volume"),
    "authority": _one_of("auto", "volume", "redis"),
    "ttl": _ttl,
    "redis_url": _redis_url,
    "redis_password_file": _text,
    "redis_replicas": _replicas,
    "socket": _text,
    "guard": _one_of("enforce", "warn", "off"),
    "http": _address,
    "http_token_file": _text,
    "http_cert_file": _text,
    "http_key_file": _text,
    "roots": _roots,
    "handoff": _one_of("on", "off"),
    "log": _one_of("debug", "info", "warning", "error"),
}

assert set(_CHECKS) | set(_IDENTITY) == set(Settings._fields)
