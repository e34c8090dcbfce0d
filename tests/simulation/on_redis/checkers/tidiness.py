"""The server keeps nothing of what it forgot."""

from __future__ import annotations

from tests.simulation.checkers import Checker
from tests.simulation.on_redis.fleet import RedisFleet


class RedisTidiness(Checker):
    name = "tidiness"

    def finished(self) -> None:
        assert isinstance(self.fleet, RedisFleet)
        for volume in sorted({session.identity.id for session in self.fleet.sessions.values()}):
            left = self.fleet.tables.strangers(volume)
            if left:
                raise self.violation(f"keys of an earlier memory are left: {left[:3]}")
