"""A token bucket: how long a number of bytes has to wait at a given rate."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

LEAST_SLEEP_SECONDS = 0.0001
"""Shorter waits are left to the next request: a sleep takes about that much longer than asked."""


@dataclass(slots=True)
class Bucket:
    """``rate`` bytes a second, with ``credit`` bytes that an idle time saves up; full at first.

    It keeps the time at which the bucket would be empty, and not a number of tokens, so a sleep
    that took too long is made up for by the next one. Credit is also what makes up for the time
    between two requests of one stream: without any, each costs its transfer and its round trip.
    """

    rate: float
    credit: float
    empty_at: float = 0.0

    def slot(self, count: int, now: float) -> float:
        """The time at which ``count`` more bytes are through, asked for at ``now``."""
        self.empty_at = max(self.empty_at, now - self.credit / self.rate) + count / self.rate
        return self.empty_at


class Meter:
    """A bucket that many threads wait at."""

    def __init__(self, rate: float, credit: float) -> None:
        self._bucket = Bucket(rate, credit) if rate else None
        self._turn = threading.Lock()

    def pass_through(self, count: int) -> None:
        """Back when ``count`` bytes are through."""
        if self._bucket is None:
            return
        with self._turn:
            now = time.monotonic()
            wait = self._bucket.slot(count, now) - now
        if wait > LEAST_SLEEP_SECONDS:
            time.sleep(wait)
