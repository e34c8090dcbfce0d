"""How many connections there may be, so that none of them takes what the others need.

A daemon without a descriptor left can't read /proc, beat, or accept whoever wants to leave.
"""

from __future__ import annotations

import resource
from collections import Counter
from typing import Final

HELLO_SECONDS: Final = 10.0
"""Who has not said hello by then is cut off."""

_RESERVE: Final = 128
"""Descriptors for volumes, the log and what a look at /proc needs."""

_EACH: Final = 3
"""Descriptors of a connection: itself, the one its thread waits on, and its client's pidfd."""


def widen() -> None:
    """As many descriptors as this process may have. What it started before keeps its own limit,
    for there are programs that select(2)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Admission:
    """Who is connected, by pid. For one thread."""

    def __init__(self) -> None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            soft = 1 << 20
        self.most = max(8, (soft - min(_RESERVE, soft // 2)) // _EACH)
        self._taken: Counter[int] = Counter()
        self._all = 0

    def take(self, pid: int) -> bool:
        """Whether there is one more for that process, which never has more than half of them."""
        if self._all >= self.most or self._taken[pid] >= self.most // 2:
            return False
        self._taken[pid] += 1
        self._all += 1
        return True

    def leave(self, pid: int) -> None:
        self._all -= 1
        self._taken[pid] -= 1
        if not self._taken[pid]:
            del self._taken[pid]
