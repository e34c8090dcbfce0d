"""Progress: after the faults are over everybody comes to a lease, and nobody loses one."""

from __future__ import annotations

from tests.simulation.checkers.progress import Progress
from tests.simulation.on_redis.fleet import RedisFleet
from tests.simulation.on_redis.tables import Table
from tests.simulation.on_redis.wire import Call


class RedisProgress(Progress):
    def __init__(self, fleet: RedisFleet) -> None:
        super().__init__(fleet)
        self._since: dict[str, float] = {}
        """When each session was first seen on the server."""

    def table_changed(self, call: Call, before: Table, after: Table) -> None:
        for name in after.sessions:
            if name not in before.sessions:
                self._since[name] = self.fleet.world.now

    def finished(self) -> None:
        assert isinstance(self.fleet, RedisFleet)
        alive = self.fleet.alive()
        sessions = [w.session for w in alive if w.session is not None and w.session.alive()]
        if len(sessions) < len(alive):
            raise self.violation("a session was lost though nothing was wrong any more")
        names = {session.name for session in sessions}
        late = self.fleet.world.now - 2.0 * self.fleet.setup.ttl
        for session in sessions:
            strangers = set(self.fleet.tables.of(session.identity.id).sessions) - names
            old = sorted(name for name in strangers if self._since.get(name, 0.0) < late)
            if old:  # a late copy can open one that is over, for a ttl
                raise self.violation(f"dead sessions {old} were never ended")
