"""Simulated time: what happens next, decided by a seed.

True time is ``World.now`` in seconds; nobody in the simulated fleet can see it.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from random import Random

Action = Callable[[], object]


class World:
    """A queue of events and the one source of chance."""

    def __init__(self, seed: int, *, recording: bool = False) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.events = 0
        self.history: list[str] | None = [] if recording else None
        self._queue: list[tuple[float, int, Action]] = []
        self._sequence = 0

    def at(self, when: float, action: Action) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (when, self._sequence, action))

    def after(self, seconds: float, action: Action) -> None:
        self.at(self.now + seconds, action)

    def run(self, until: float, finished: Callable[[], bool]) -> None:
        """Let time pass until nothing is left to do, all is ``finished``, or it is ``until``."""
        queue = self._queue
        while queue and not finished():
            if queue[0][0] > until:
                self.now = until
                return
            when, _, action = heapq.heappop(queue)
            self.now = max(self.now, when)
            self.events += 1
            action()

    def note(self, who: str, what: object) -> None:
        if self.history is not None:
            self.history.append(f"{self.now:10.4f} {who:<12} {what}")

    def chance(self, probability: float) -> bool:
        return probability > 0 and self.random.random() < probability

    def unique(self) -> str:
        return f"{self.random.getrandbits(64):016x}"

    def digest(self) -> str:
        """Stands for the whole history. Only of a world that was recording."""
        assert self.history is not None
        return hashlib.sha256("\n".join(self.history).encode()).hexdigest()
