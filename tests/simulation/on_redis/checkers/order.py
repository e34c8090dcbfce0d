"""First come, first served: judged on every pair of requests, whenever a call changed something."""

from __future__ import annotations

from tests.simulation.checkers import Checker
from tests.simulation.on_redis.fleet import RedisFleet
from tests.simulation.on_redis.tables import Table
from tests.simulation.on_redis.wire import Call


class Order(Checker):
    """A request is granted exactly when no older one, granted or waiting, conflicts with it; in a
    grace what waits may go on waiting."""

    name = "queue"

    def table_changed(self, call: Call, before: Table, after: Table) -> None:
        for request in after.requests.values():
            blocked = after.blocked(request)
            if request.granted and blocked:
                raise self.violation(f"after {call}: {request} is granted, and an older one waits")
            if not (request.granted or blocked or after.grace):
                raise self.violation(f"after {call}: {request} waits, and nothing is in its way")
            known = before.requests.get(request.token)
            if request.granted and known is not None and not known.granted:
                self._may_grant(call, after)

    def _may_grant(self, call: Call, after: Table) -> None:
        assert isinstance(self.fleet, RedisFleet)
        if after.life != self.fleet.redis.life:
            raise self.violation(f"{call} granted by a memory from before the server ended")
