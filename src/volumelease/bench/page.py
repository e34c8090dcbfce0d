"""The page of memory through which jobs tell how far they are, and are told to go and to stop.

Bytes and the time of the last completed operation are one pair: a rate between two looks is exact,
however large the blocks are. Jobs write their own slot and read the order; nothing is locked.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import Final, NamedTuple

SLOTS: Final = 63
_SLOT: Final = 64
_COUNTS: Final = struct.Struct("=6q")
_PAIR: Final = struct.Struct("=2q")

HOLD: Final = 0
GO: Final = 1
STOP: Final = 2


class Counts(NamedTuple):
    """How far one job is. ``active_ns``: time it spent on what is counted, up to its last
    completed operation; ``cpu_ns``: of its process, about then."""

    bytes: int = 0
    active_ns: int = 0
    operations: int = 0
    errors: int = 0
    cpu_ns: int = 0
    ready: int = 0


class Page:
    """The shared page. ``descriptor`` is inherited by jobs, or None to make one."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("volumelease-bench")
            os.ftruncate(descriptor, (SLOTS + 1) * _SLOT)
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, (SLOTS + 1) * _SLOT)

    @property
    def order(self) -> int:
        """``HOLD``, ``GO`` or ``STOP``."""
        return self._map[0]

    @order.setter
    def order(self, order: int) -> None:
        self._map[0] = order

    def counts(self, slot: int) -> Counts:
        """How far that job is: read again until two looks agree, since a job may be writing."""
        at = (slot + 1) * _SLOT
        before = self._map[at : at + _COUNTS.size]
        while (again := self._map[at : at + _COUNTS.size]) != before:
            before = again
        return Counts(*_COUNTS.unpack(again))

    def reset(self, slot: int) -> None:
        at = (slot + 1) * _SLOT
        self._map[at : at + _COUNTS.size] = bytes(_COUNTS.size)

    def slot(self, number: int) -> Slot:
        return Slot(self._map, number)

    def close(self) -> None:
        self._map.close()
        os.close(self.descriptor)


class Slot:
    """One job's own part of the page."""

    __slots__ = ("_at", "_cpu_before_ns", "_map")

    def __init__(self, page: mmap.mmap, number: int) -> None:
        self._map = page
        self._at = (number + 1) * _SLOT
        self._cpu_before_ns = 0

    def told_to_stop(self) -> bool:
        return self._map[0] == STOP

    def told_to_wait(self) -> bool:
        return self._map[0] == HOLD

    def count(self, done_bytes: int, active_ns: int) -> None:
        _PAIR.pack_into(self._map, self._at, done_bytes, active_ns)

    def count_more(self, operations: int, errors: int, cpu_ns: int) -> None:
        """``cpu_ns`` of the process: what it took before this run is left out."""
        cpu_ns -= self._cpu_before_ns
        struct.pack_into("=3q", self._map, self._at + 16, operations, errors, cpu_ns)

    def ready(self) -> None:
        self._cpu_before_ns = time.process_time_ns()
        struct.pack_into("=q", self._map, self._at + 40, 1)
