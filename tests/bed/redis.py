"""A real redis-server of one's own, for tests that need one."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .network import BedError, program

START_SECONDS: Final = 10.0


def missing_redis() -> str | None:
    """Why there is no redis-server here and what to do about it; None when there is one."""
    try:
        program("redis-server")
    except BedError:
        return "no redis-server: apt-get install --no-install-recommends redis-server"
    return None


class RedisServer:
    """``with RedisServer() as server:`` listens on a free port of loopback, keeps nothing, and has
    a directory of its own. Ended by its process id."""

    def __init__(self, password: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._password = password
        self._folder = tempfile.TemporaryDirectory(prefix="redis-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        who = f":{self._password}@" if self._password else ""
        return f"redis://{who}127.0.0.1:{self.port}/0"

    @property
    def socket_url(self) -> str:
        who = f":{self._password}@" if self._password else ""
        return f"unix://{who}{self._folder.name}/socket"

    def start(self) -> None:
        folder = self._folder.name
        argv = [program("redis-server"), "--bind", "127.0.0.1", "--port", str(self.port)]
        argv += ["--unixsocket", f"{folder}/socket", "--dir", folder, "--save", ""]
        if self._password:
            argv += ["--requirepass", self._password]
        with (Path(folder) / "log").open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise BedError((Path(folder) / "log").read_text())

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """SIGSTOP: connections stay, and new ones come about; nobody gets an answer."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._folder.cleanup()
