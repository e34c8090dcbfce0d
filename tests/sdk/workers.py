"""Workers that run an example handler under the SDK's own loop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.bed.container import in_container
from tests.cli.shell import ROOT, environment

from .job_server import JobServer

EXAMPLES: Final = ROOT / "deploy" / "examples"

PLAIN: Final = "plain"
"""``python handler.py``."""
WITH_DAEMON: Final = "with a daemon"
"""``volumelease worker -- python handler.py``."""
CONTAINER: Final = "container"
"""The handler is PID 1 of a container: nobody outside can prove its death."""
CONTAINER_WITH_DAEMON: Final = "container with a daemon"
"""``volumelease worker`` is PID 1 of a container."""


class SdkWorker:
    """One worker of an endpoint. It has a process group of its own: the SDK's ping process is
    forked from the handler, and outlives it."""

    def __init__(
        self,
        server: JobServer,
        endpoint: str,
        name: str,
        volume: Path,
        folder: Path,
        *,
        handler: Path | str,
        kind: str = PLAIN,
        grace: str = "3",
        more: dict[str, str] | None = None,
    ) -> None:
        self.server, self.endpoint, self.name, self.kind = server, endpoint, name, kind
        self.volume = volume
        words = [sys.executable, str(EXAMPLES / handler)]
        if kind in (WITH_DAEMON, CONTAINER_WITH_DAEMON):
            words = [sys.executable, "-m", "volumelease", "worker", "--grace", grace, "--", *words]
        if kind in (CONTAINER, CONTAINER_WITH_DAEMON):
            words = in_container(words)
        given = {
            "VOLUME": str(volume),
            "VOLUMELEASE_VOLUME": str(volume),
            "VOLUMELEASE_SOCKET": str(folder / f"{name}.sock"),
            "VOLUMELEASE_HTTP": "off",
            "VOLUMELEASE_ROOTS": "models,results",
            **server.environment(endpoint, name),
            **(more or {}),
        }
        self.log = folder / f"{name}.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                words,
                env=environment(given),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pids(self) -> list[int]:
        """Its processes, the oldest first: without the ``unshare`` around a container."""
        found = _session_of(self.process.pid)
        return found[1:] if self.kind.startswith(CONTAINER) else found

    def signal_handler(self, number: signal.Signals) -> bool:
        """To the handler alone: behind the daemon, where there is one."""
        pids = self.pids
        at = 1 if self.kind in (WITH_DAEMON, CONTAINER_WITH_DAEMON) else 0
        if len(pids) <= at:
            return False
        with suppress(ProcessLookupError):
            os.kill(pids[at], number)
        return True

    def signal_all(self, number: signal.Signals) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def terminate(self) -> None:
        """As the platform does: SIGTERM to the container's first process."""
        if pids := self.pids:
            os.kill(pids[0], signal.SIGTERM)

    def kill(self) -> None:
        """All of it at once, and the platform sees that."""
        self.signal_all(signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        self.server.bury(self.name)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.signal_all(signal.SIGCONT)
        self.kill()


def _session_of(leader: int) -> list[int]:
    """The living processes of that session, the oldest first."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] != "Z":
                    found.append((int(fields[19]), int(entry)))
    return [pid for _, pid in sorted(found)]
