"""Nobody ends a session that may still assume what it holds."""

from __future__ import annotations

from typing import Any

from tests.simulation.checkers import Checker
from tests.simulation.on_redis.fleet import RedisFleet
from tests.simulation.on_redis.held import as_watched
from tests.simulation.on_redis.wire import Call


class Expiries(Checker):
    name = "expiry"

    def served(self, call: Call, reply: list[Any]) -> None:
        if call.script != "expire" or reply[0] != b"expired":
            return
        assert isinstance(self.fleet, RedisFleet)
        session = self.fleet.session_of(str(call.arguments[0]))
        if session is None or not session.worker.process.running:
            return
        excused = self.fleet.world.now <= self.fleet.notices_by(session.worker)
        if session.alive() and (not excused or self.fleet.knows(as_watched(session))):
            raise self.violation(
                f"{call.process.name} ended {session.name} of {session.worker.process.name}, "
                f"which lives for {session.remaining_seconds():.2f} s more"
            )
