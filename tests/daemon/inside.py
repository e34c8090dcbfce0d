"""Daemons in threads of the test's own process, each for one client of one volume.

A daemon knows its clients by their processes, so that two sessions of one test need two daemons.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from volumelease.clock import SystemClock
from volumelease.daemon.running import Daemon
from volumelease.drivers.files import Files
from volumelease.host import this_process
from volumelease.leases.daemon_hosting import HostedByDaemon
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate
from volumelease.settings import Settings


def surroundings(root: Path, ttl: float = 15.0, said: list[str] | None = None) -> Surroundings:
    lines = [] if said is None else said
    process = this_process()
    return Surroundings(
        Settings(volume=str(root), ttl=ttl),
        process,
        SystemClock(),
        Files(process),
        report=lines.append,
        bells=frozenset(),
    )


class Inside:
    """One daemon in a thread."""

    def __init__(self, socket: Path, around: Surroundings) -> None:
        self.socket = socket
        self.said: list[str] = []
        self.daemon = Daemon(str(socket), around, self.said.append)
        started = threading.Event()
        self._thread = threading.Thread(target=self.daemon.run, args=(started.set,), daemon=True)
        self._thread.start()
        assert started.wait(10)

    def end(self) -> None:
        self.daemon.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self.daemon.end()


def through(socket: Path, root: Path, volume: str, around: Surroundings) -> HostedByDaemon:
    """A session of the daemon there, not open yet."""
    return HostedByDaemon(
        str(socket), str(root), volume, around.clock, around.performer, around.report
    )


class Daemons:
    """``with Daemons(folder) as daemons:`` makes sessions, each on a daemon of its own."""

    def __init__(self, folder: Path, ttl: float = 15.0) -> None:
        self.root = folder / "volume"
        self.root.mkdir()
        self._folder = folder
        self._around = surroundings(self.root, ttl)
        volumes = Volumes(self._around)
        found = volumes.found(locate(self.root, explicit=str(self.root)), ready=True)
        self.volume = found.id
        self.running: list[Inside] = []

    def one_more(self, volume: str = "") -> HostedByDaemon:
        socket = self._folder / f"{len(self.running)}.sock"
        self.running.append(Inside(socket, self._around))
        hosted = through(socket, self.root, volume or self.volume, self._around)
        hosted.open()
        return hosted

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for inside in self.running:
            inside.end()
