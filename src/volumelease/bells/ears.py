"""What one session hears: the place where all bells of a process and its listener meet."""

from __future__ import annotations

import threading


class Ear:
    """Rings that nobody heard yet are kept, so that one which comes between a look at the log
    and the next listening is not lost. Thread-safe; only ``wait`` blocks, in one thread."""

    __slots__ = ("_event", "_rung")

    def __init__(self) -> None:
        self._event = threading.Event()
        self._rung = False

    def hear(self) -> None:
        self._rung = True
        self._event.set()

    def nudge(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Whether it rang: returns then, at a nudge, or after ``seconds``."""
        self._event.wait(seconds)
        self._event.clear()
        rung, self._rung = self._rung, False
        return rung
