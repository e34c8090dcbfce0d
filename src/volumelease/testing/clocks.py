"""Time that stands still until a test says otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable

from volumelease.clock import Reading


class ManualClock:
    """A clock that only ``advance`` moves. Thread-safe.

    Given to a ``MemoryVolume``, the ``timeout`` of a lease is measured by it: a waiter gives up
    when the test has advanced the clock, however long that took. Limit: a test that waits in the
    only thread it has waits for ever; give it a thread, a task, or ``timeout=0``.
    """

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self._seconds = 0.0
        self._wall = wall
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def advance(self, seconds: float) -> None:
        """Let that much time pass at once, and wake whoever waits for it. Errors: ``ValueError``
        for less than nothing."""
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}): time goes forwards")
        with self._lock:
            self._seconds += seconds
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def when_advanced(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after every ``advance``, in the thread that called it."""
        with self._lock:
            self._listeners.append(listener)

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._seconds

    def boottime(self) -> float:
        """Seconds advanced so far."""
        return self._seconds

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._wall + self._seconds

    def read(self) -> Reading:
        """All three."""
        with self._lock:
            return Reading(self._seconds, self._seconds, self._wall + self._seconds)
