"""One run of a fleet whose leases a Redis keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from tests.simulation.checkers import Checker, Violation
from tests.simulation.fleet import Fleet
from tests.simulation.held import WatchedSession
from tests.simulation.process import Process
from tests.simulation.setup import Setup
from tests.simulation.trouble import Trouble
from tests.simulation.worker import Worker

from .held import WatchedRedisSession, as_redis
from .server import Redis
from .tables import EMPTY, Table, Tables, volume_of
from .trouble import RedisTrouble
from .wire import Call, Wire
from .worker import RedisWorker

FORGETTING: Final = ("tail", "failover")
"""The troubles of a server that need what it wrote lately."""

MOUNT_FAULTS: Final = ("error", "lost", "resend", "slow")
"""What goes wrong with calls on the volume. Operations that land long after their caller gave up
can be a rename that was checked: it is not sealed, which is the limit of this authority."""


class RedisFleet(Fleet):
    """``redis`` is the server, and ``tables`` what it keeps."""

    def __init__(
        self, setup: Setup, checkers: list[type[Checker]], *, recording: bool = False
    ) -> None:
        super().__init__(setup, checkers, recording=recording)
        remembers = any(setup.strength(trouble) > 0 for trouble in FORGETTING)
        self.redis = Redis(self.world, remembers=remembers)
        self.redis.lost = self._memory_lost
        self.redis.ring = lambda names: self.belfry.ring("", frozenset(names))
        self.tables = Tables(self.redis.memory)
        self._before: dict[str, Table] = {}
        for host in self.hosts:
            host.wire = Wire(self.world, self.redis, setup, host.name, self.served)
            host.wire.tells = self.trouble.told

    def _setup_of_mounts(self) -> Setup:
        strength = self.setup.strength("mount")
        return replace(self.setup, intensity=tuple((fault, strength) for fault in MOUNT_FAULTS))

    def _worker(self, process: Process, name: str) -> Worker:
        return RedisWorker(self, process, name)

    def _troubles(self) -> Trouble:
        return RedisTrouble(self)

    def served(self, call: Call, reply: Any) -> float:
        """The server executed that call. Returns for how many seconds its answer is held up."""
        self.tell("served", call, reply)
        volume = volume_of(call.effect.key)
        before, after = self._before.get(volume, EMPTY), self.tables.of(volume)
        self._before[volume] = after
        if before is not after:
            self.tell("table_changed", call, before, after)
        return self.trouble.served(call, reply)

    @property
    def trouble(self) -> RedisTrouble:
        assert isinstance(self._trouble, RedisTrouble)
        return self._trouble

    def _memory_lost(self) -> None:
        """What is lost was not ended by the next call."""
        self._before = {volume: self.tables.of(volume) for volume in self._before}

    def crashed(self, worker: Worker, thread: str, error: BaseException) -> None:
        """An assertion of the product that fails is a finding as any other."""
        if isinstance(error, AssertionError) and not isinstance(error, Violation):
            error = RuntimeError(repr(error))
        super().crashed(worker, thread, error)

    def session_of(self, name: str) -> WatchedRedisSession | None:
        """The session of that name, if any worker ever had it."""
        found = self.sessions.get(name)
        return None if found is None else as_redis(found)

    def knows(self, session: WatchedSession) -> bool:
        """Whether a beat of that session counts that was sent since its machine was frozen. What
        somebody took out by hand is missed only by a beat while nothing else is asked."""
        if self.state_lost_at > 0:
            return False
        return session.knew_at > session.worker.process.host.thawed_at
