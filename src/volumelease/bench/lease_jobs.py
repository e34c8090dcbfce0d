"""What the jobs of ``lease_cost`` do: write units under leases, take leases, hand one over.

Each job is a worker of its own with a session on a volume inside the scratch, so nothing of it
touches the leases of anybody else, and no daemon or guard of this machine takes part.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate

from .contents import PERIOD, Contents
from .histograms import Counts, bucket
from .job import Job

DATA: Final = "data"
TTL_SECONDS: Final = 15.0
BLOCK: Final = PERIOD


def found(root: str) -> None:
    """Make ``root`` a volume that its jobs use, with a log of its own."""
    mine = _volumes(root)
    where = locate(root, explicit=root)
    mine.found(where, ready=True, ttl=TTL_SECONDS, authority="volume")
    mine.close()


def _volumes(root: str) -> Volumes:
    """Of that volume alone, with the bells of this machine and nothing else of its settings."""
    around = Surroundings.of_this_process()
    settings = around.settings._replace(
        volume=root, authority="volume", ttl=None, scope="path", roots=(), handoff="off"
    )
    return Volumes(around._replace(settings=settings, handoff=None, report=lambda text: None))


@contextlib.contextmanager
def _session(root: str) -> Iterator[Volumes]:
    """Open before the start: what is measured are leases and not how a process begins."""
    volumes = _volumes(root)
    try:
        with volume_lease(f"{root}/warm-{os.getpid()}", volumes=volumes):
            pass
        yield volumes
    finally:
        volumes.close()


# ---- writing


def write_units(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Write, sync and close one file again and again until told to stop, each time under a lease.

    Parameters: ``root``, ``path`` of the file (exists), ``leased`` the path to lease or "",
    ``unit_bytes`` (of whole blocks), ``direct``, ``seed``. Answers ``bytes`` and the
    ``seconds`` until the last of them.
    """
    with _session(parameters["root"]) as volumes:
        leased: str = parameters["leased"]
        around: AbstractContextManager[Any] = (
            volume_lease(leased, volumes=volumes) if leased else contextlib.nullcontext()
        )
        writer = _Writer(job, parameters)
        began = job.begin()
        while not job.slot.told_to_stop():
            with around:
                writer.write_unit(began)
    return {"bytes": writer.done, "seconds": writer.seconds, "units": writer.units}


class _Writer:
    def __init__(self, job: Job, parameters: dict[str, Any]) -> None:
        self._slot = job.slot
        self._path: str = parameters["path"]
        self._unit: int = parameters["unit_bytes"]
        self._flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._flags |= os.O_DIRECT if parameters["direct"] else 0
        self._contents = Contents(parameters["seed"], f"unit-{job.number}")
        self.done = 0
        self.units = 0
        self.seconds = 0.0

    def write_unit(self, began: int) -> None:
        """One unit, or what of it is through when the run ends."""
        descriptor = os.open(self._path, self._flags)
        try:
            for offset in range(0, self._unit, BLOCK):
                if self._slot.told_to_stop():
                    return
                self._contents.turn_to(offset // PERIOD, self.units)
                if os.pwritev(descriptor, [self._contents.view], offset) < BLOCK:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
                self._through(BLOCK, began)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.units += 1
        self._through(0, began)

    def _through(self, count: int, began: int) -> None:
        elapsed = time.monotonic_ns() - began
        self.done += count
        self.seconds = elapsed / 1e9
        self._slot.count(self.done, elapsed)


# ---- taking


def take(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Acquire and release a lease that nobody else wants, ``most`` times or until told to stop.

    Answers histograms of ``acquire``, ``release`` and of ``both``, and the slowest of each.
    """
    times = {name: _Times() for name in ("acquire", "release", "both")}
    with _session(parameters["root"]) as volumes:
        lease = volume_lease(f"{parameters['root']}/{DATA}/alone", volumes=volumes)
        job.begin()
        for _ in range(parameters["most"]):
            if job.slot.told_to_stop():
                break
            asked = time.monotonic_ns()
            with lease:
                acquired = time.monotonic_ns()
            released = time.monotonic_ns()
            times["acquire"].note(acquired - asked)
            times["release"].note(released - acquired)
            times["both"].note(released - asked)
    return {name: one.told() for name, one in times.items()}


class _Times:
    def __init__(self) -> None:
        self._counts: Counts = {}
        self._slowest = 0

    def note(self, nanoseconds: int) -> None:
        number = bucket(nanoseconds)
        self._counts[number] = self._counts.get(number, 0) + 1
        self._slowest = max(self._slowest, nanoseconds)

    def told(self) -> dict[str, Any]:
        counts = {str(number): count for number, count in self._counts.items()}
        return {"counts": counts, "slowest_ns": self._slowest}


# ---- handing over

HOLD_SECONDS: Final = 0.02
AWAY_SECONDS: Final = 0.005


def relay(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Take turns with the other jobs at one path, ``most`` times or until told to stop.

    Each holds until the others wait for certain, for a time that keeps no step with a poller.
    Answers ``turns``: when each was asked for, began and ended (``time.monotonic``).
    """
    turns: list[tuple[float, float, float]] = []
    with _session(parameters["root"]) as volumes:
        lease = volume_lease(f"{parameters['root']}/{DATA}/baton", volumes=volumes)
        job.begin()
        while len(turns) < parameters["most"] and not job.slot.told_to_stop():
            asked = time.monotonic()
            with lease:
                begun = time.monotonic()
                time.sleep(HOLD_SECONDS * random.uniform(1.0, 1.5))
                ended = time.monotonic()
            turns.append((asked, begun, ended))
            time.sleep(AWAY_SECONDS)
    return {"turns": turns}
