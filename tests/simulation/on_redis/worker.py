"""A worker of a fleet whose leases a Redis keeps."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from tests.simulation.held import Held, WatchedSession
from tests.simulation.process import Script
from tests.simulation.worker import ROOT, Worker
from volumelease.authorities.redis import founding as redis_founding
from volumelease.authorities.volume.founding import Founding
from volumelease.core.records import SessionFacts
from volumelease.effects import Sleep, Steps
from volumelease.errors import LeaseError
from volumelease.wire.identity import Identity

from .held import WatchedRedisSession, as_redis, as_watched

if TYPE_CHECKING:
    from .fleet import RedisFleet


LONG_USES: Final = 0.08
LONG_DRAFTS: Final = 0.1


class RedisWorker(Worker):
    """Hosts its session as the product does for a Redis."""

    def _found(self, wanted: Founding) -> Steps[Identity]:
        identity, ours = yield from redis_founding.found(ROOT, wanted)
        if ours and self.fleet.ready:  # a person says that the volume is new
            with suppress(LeaseError):
                yield from redis_founding.begin(identity.id, self.fleet.world.unique())
        return identity

    def session_of(self, identity: Identity, name: str = "") -> WatchedSession:
        world = self.fleet.world
        name = name or world.unique()
        session = WatchedRedisSession(
            identity=identity,
            root=ROOT,
            facts=SessionFacts(self.process.facts, worker=self.name),
            name=name,
            clock=self.process.host.clock,
            unique=world.unique,
            wake=lambda token: self._bell.ring(),
            bell=self.fleet.belfry.bell(name),
        )
        session.fleet, session.worker = self._redis_fleet, self
        return as_watched(session)

    def _waits(self, session: WatchedSession, token: int) -> bool:
        return as_redis(session).still_waits(token)

    def _break(self, session: WatchedSession, token: int, *, stays: bool) -> Script:
        breaking = as_redis(session).breaking
        with suppress(LeaseError):
            broken = yield from breaking.begin(token, "a trial")
            self.fleet.world.note(self.process.name, f"breaks {token}: {broken}")
            while stays and breaking.under_way(token) and session.alive():
                yield Sleep(0.1)
                yield from breaking.look_on()

    def _use(self, held: Held) -> Script:
        """Sometimes for longer than a ttl, as much that takes a lease does."""
        fleet, random = self.fleet, self.fleet.world.random
        long = not fleet.finale and random.random() < LONG_USES
        until = fleet.world.now + (2.5 * fleet.setup.ttl * random.random() if long else 0.0)
        yield from super()._use(held)
        while fleet.world.now < until and not (held.ended or fleet.finale):
            yield Sleep(0.2 * fleet.setup.ttl * random.random())
            yield from super()._use(held)

    def pause_in_a_draft(self) -> float:
        """Sometimes so long that the server can forget it meanwhile, and others clear away."""
        random = self.fleet.world.random
        if self.fleet.finale or random.random() >= LONG_DRAFTS:
            return super().pause_in_a_draft()
        self._redis_fleet.trouble.draft_begun()
        return 0.5 * self.fleet.setup.ttl * random.random()

    def _leave_broken(self, held: Held) -> Script:
        """Half of the workers whose lease is broken leave the block only after it has ended."""
        session, tables = held.session, self._redis_fleet.tables
        stubborn = self.fleet.world.random.random() < 0.5
        while (
            stubborn and session.alive() and held.token in tables.of(session.identity.id).requests
        ):
            yield Sleep(0.2)
        if session.alive():
            yield from self._give_back(held)

    @property
    def _redis_fleet(self) -> RedisFleet:
        return cast("RedisFleet", self.fleet)
