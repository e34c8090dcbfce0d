"""The clocks of one process, read together.

A lease protocol that reads the wrong clock breaks in ways no test machine shows: CLOCK_MONOTONIC
stands still while a virtual machine is suspended, the wall clock steps when NTP corrects it, and
no two hosts agree. So: deadlines of a holder run on CLOCK_BOOTTIME (it counts suspension, so a
holder never believes too long), observations of others run on CLOCK_MONOTONIC (it does not count
suspension, so an observer never expires too early), and the wall clock is only shown to people
and compared with the others to notice a pause. Source: clock_gettime(2).
"""

from __future__ import annotations

import time
from typing import NamedTuple, Protocol


class Reading(NamedTuple):
    """One look at all three clocks, in seconds."""

    monotonic: float
    boottime: float
    wall: float


class Clock(Protocol):
    """Where a process reads the time. Fakes live in ``volumelease.testing``."""

    def monotonic(self) -> float: ...

    def boottime(self) -> float: ...

    def wall(self) -> float: ...

    def read(self) -> Reading: ...


class SystemClock:
    """The machine's own clocks."""

    __slots__ = ()

    def monotonic(self) -> float:
        return time.monotonic()

    def boottime(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> float:
        return time.time()

    def read(self) -> Reading:
        now = (time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
        return tuple.__new__(Reading, now)  # without a call in between: each lease asks four times
