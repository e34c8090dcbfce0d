"""The clocks of simulated hosts: none of them is right, and no two agree."""

from __future__ import annotations

from volumelease.clock import Reading

from .world import World


class HostClock:
    """The three clocks of one host, each derived from true time.

    ``rate`` is how fast they run (drift). A suspension stops ``monotonic`` alone. A machine that
    was frozen from outside finds all of its clocks where they were.
    """

    def __init__(self, world: World, rate: float) -> None:
        self._world = world
        self._rate = rate
        self._since = world.random.uniform(0.0, 1e6)
        self._wall_offset = 1.7e9 + world.random.uniform(-1e4, 1e4)
        self._suspended = 0.0
        self._frozen = 0.0
        self._stands_from: float | None = None
        self._frozen_now = False

    def boottime(self) -> float:
        return self._since + self._running(suspended=0.0, stands=self._frozen_now) * self._rate

    def monotonic(self) -> float:
        running = self._running(suspended=self._suspended, stands=self.asleep)
        return self._since + running * self._rate

    def wall(self) -> float:
        running = self._running(suspended=0.0, stands=self._frozen_now)
        return self._wall_offset + running * self._rate

    def _running(self, *, suspended: float, stands: bool) -> float:
        now = self._stands_from if stands and self._stands_from is not None else self._world.now
        return now - self._frozen - suspended

    def read(self) -> Reading:
        return Reading(self.monotonic(), self.boottime(), self.wall())

    def true_seconds(self, seconds: float) -> float:
        """How long ``seconds`` of this clock take in true time."""
        return seconds / self._rate

    def step_wall(self, seconds: float) -> None:
        self._wall_offset += seconds

    @property
    def asleep(self) -> bool:
        return self._stands_from is not None

    def sleep(self, *, frozen: bool) -> None:
        if self._stands_from is None:
            self._stands_from, self._frozen_now = self._world.now, frozen

    def wake(self) -> None:
        if self._stands_from is None:
            return
        slept = self._world.now - self._stands_from
        if self._frozen_now:
            self._frozen += slept
        else:
            self._suspended += slept
        self._stands_from, self._frozen_now = None, False
