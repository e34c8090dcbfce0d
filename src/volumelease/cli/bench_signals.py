"""Ending a benchmark in order: what is measured is kept, and nothing is left on the volume."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from volumelease.bench.interrupting import held_back, interrupt

_ASKING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE: Final = 3
_ECHO_SECONDS: Final = 1.0
"""A signal to the whole group comes twice: from its sender, and handed on by the parent."""


@dataclass(slots=True)
class Asked:
    """By which signal the run was asked to end; 0: by none. ``times``: how often."""

    number: int = 0
    times: int = 0


@contextmanager
def ending_in_order() -> Iterator[Asked]:
    """The first signal ends the run; the next ones don't end its cleaning up, until the third
    ends the process, since a volume that hangs would let it clean up for ever. The same signal
    within a second is the same request."""
    asked = Asked()
    counted: dict[int, float] = {}

    def end(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - counted.get(number, -_ECHO_SECONDS) < _ECHO_SECONDS:
            return
        counted[number] = now
        asked.times += 1
        if asked.times >= _PATIENCE:
            os._exit(128 + number)
        if asked.times == 1:
            asked.number = number
            interrupt()

    # Held back outside of it: what comes after the run has ended must not lose its document.
    with held_back(to_the_end=True):
        before = {number: signal.signal(number, end) for number in _ASKING}
        try:
            yield asked
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
