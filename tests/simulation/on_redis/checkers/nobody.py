"""Nothing is granted, or queued, for nobody: a request begins only while somebody wants it."""

from __future__ import annotations

from tests.simulation.checkers import Checker
from tests.simulation.on_redis.fleet import RedisFleet
from tests.simulation.on_redis.tables import Table
from tests.simulation.on_redis.wire import Call


class Nobody(Checker):
    """Judges sessions that live: what a dead one is granted ends with it. At the end, when every
    worker has let go of everything, nothing may be left."""

    name = "granted to nobody"

    def table_changed(self, call: Call, before: Table, after: Table) -> None:
        assert isinstance(self.fleet, RedisFleet)
        for token, request in after.requests.items():
            session = self.fleet.session_of(request.session)
            if token in before.requests or session is None:
                continue
            process = session.worker.process
            if process.running and session.alive() and not session.wants(request.number):
                raise self.violation(f"{call}: nobody wants {request} any more")

    def finished(self) -> None:
        assert isinstance(self.fleet, RedisFleet)
        for worker in self.fleet.alive():
            session = worker.session
            if session is None or not session.alive():
                continue
            table = self.fleet.tables.of(session.identity.id)
            left = [one for one in table.requests.values() if one.session == session.name]
            if left:
                raise self.violation(f"{worker.process.name} still has {left}, which nobody wants")
