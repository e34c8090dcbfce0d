"""A daemon in a process of its own, and clients of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.volume.fleet import ROOT, Worker
from volumelease.leases.daemon_hosting import HostedByDaemon
from volumelease.leases.volumes import Volumes
from volumelease.paths.locate import locate

from .inside import surroundings, through


class Scene:
    """A volume in ``folder``, the socket beside it, and what was started."""

    def __init__(self, folder: Path, ttl: float = 15.0, root: Path | None = None) -> None:
        self.root = root or folder / "volume"
        self.root.mkdir(exist_ok=True)
        self.socket = folder / "run" / "daemon.sock"
        self.ttl = ttl
        self.said: list[str] = []
        self.volumes = Volumes(surroundings(self.root, ttl, self.said))
        """An observer in this process, without the daemon."""
        if root is None:
            found = self.volumes.found(locate(self.root, explicit=str(self.root)), ready=True)
            self.volume = found.id
        self.environment = {
            "VOLUMELEASE_SOCKET": str(self.socket),
            "VOLUMELEASE_VOLUME": str(self.root),
        }
        self.daemons: list[subprocess.Popen[str]] = []
        self.workers: list[Worker] = []

    def start(self, *, wait: bool = True) -> subprocess.Popen[str]:
        """A daemon."""
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(ROOT / "src")}
        daemon = subprocess.Popen(
            [sys.executable, "-m", "volumelease", "daemon"],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.daemons.append(daemon)
        if wait:
            assert daemon.stderr is not None
            for line in daemon.stderr:
                if "listening" in line:
                    break
            else:
                raise AssertionError(f"the daemon ended: {daemon.wait()}")
        return daemon

    def session(self) -> HostedByDaemon:
        """A session of the daemon in this process, not open yet."""
        return through(self.socket, self.root, self.volume, surroundings(self.root, self.ttl))

    def client(self, job: str, path: str = "a", **facts: Any) -> Worker:
        facts = {"path": str(self.root / path), "environment": self.environment, **facts}
        self.workers.append(Worker(job, facts, module="tests.daemon.jobs"))
        return self.workers[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            worker.end()
        self.volumes.close()
        for daemon in self.daemons:
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGCONT)
                daemon.kill()
            daemon.wait()
            if daemon.stderr is not None:
                daemon.stderr.close()


def gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether that process ends in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rpartition(")")[2].split()[0] == "Z":
                return True
        time.sleep(0.01)
    return False
