"""A restart costs waiting, never a lease: who is healthy loses nothing by what a server forgot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.simulation.checkers import Checker
from tests.simulation.on_redis.fleet import RedisFleet

if TYPE_CHECKING:
    from tests.simulation.held import WatchedSession
    from tests.simulation.worker import Worker

HARMLESS: Final = frozenset({"flush", "empty", "tail", "failover", "line", "full"})
MOST_AWAY: Final = 0.25
"""Of a ttl: who beats every third of one, and stops a fifth before its end, bears that."""


class Health(Checker):
    """Judges runs in which nothing but that happens, and servers that are soon back."""

    name = "health"

    def __init__(self, fleet: RedisFleet) -> None:
        super().__init__(fleet)
        self._judges = set(fleet.setup.troubles) <= HARMLESS

    def over(self, session: WatchedSession) -> None:
        if self._judges and self._was_there():
            raise self.violation(f"session {session.name} was lost: {session.pulse.lost}")

    def looked(self, worker: Worker) -> None:
        if not self._judges:
            return
        for held in worker.held:
            loss = held.session.loss_of(held.token)
            if loss and self._was_there():
                raise self.violation(f"{held} was lost: {loss}")

    def _was_there(self) -> bool:
        assert isinstance(self.fleet, RedisFleet)
        since = self.fleet.world.now - self.fleet.setup.ttl
        return self.fleet.redis.away_since(since) <= MOST_AWAY * self.fleet.setup.ttl
