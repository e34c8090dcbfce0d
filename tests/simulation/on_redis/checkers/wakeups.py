"""No lost wake-up: a waiter notices its grant soon after the server made it."""

from __future__ import annotations

from typing import Final

from tests.simulation.checkers.wakeups import WakeUps
from tests.simulation.on_redis.fleet import RedisFleet
from tests.simulation.on_redis.tables import Table
from tests.simulation.on_redis.wire import Call

QUICK: Final = frozenset(
    {"resend", "stop", "kill", "suspend", "freeze", "wall", "line", "interrupt", "break"}
)
"""The troubles that leave calls as quick as they are."""


class RedisWakeUps(WakeUps):
    def __init__(self, fleet: RedisFleet) -> None:
        super().__init__(fleet)
        self._judges = set(fleet.setup.troubles) <= QUICK

    def table_changed(self, call: Call, before: Table, after: Table) -> None:
        if not self._judges:
            return
        for token, request in after.requests.items():
            known = before.requests.get(token)
            if request.granted and (known is None or not known.granted):
                for wish in self._wishes:
                    if wish.token == token and wish.session.name == request.session:
                        self._expect(wish)
