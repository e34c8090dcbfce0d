"""What can happen to a Redis, one fault at a time, under workers that come through doors of their
own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from tests.bed.redis import RedisServer
from tests.bed.redis_proxy import RedisProxy
from tests.bed.redis_sentinel import RedisFleet
from tests.bed.running import Running

PAUSE_IN_TTL: Final = 0.4
"""The last beat was sent a third of the ttl ago at most, and the margin is a fifth of it (at least
half a second): so long every holder can wait, if its ttl is 4 s or more."""

CUT_IN_TTL: Final = 1.5
"""Long enough that who is cut loses what it holds."""

LAG_SECONDS: Final = 1.0


class Ground(Running):
    """A master and a replica behind a proxy with a door for each worker. Nobody sees more of them
    than an address behind which one takes the place of the other."""

    def __init__(self, workers: int, ttl: float) -> None:
        self.ttl = ttl
        self.master = RedisServer(aof=True)
        self.replica = RedisServer(aof=True)
        self._workers = workers
        self._next_cut = 0
        self._stack = ExitStack()
        self.proxy = RedisProxy(self.master.address, doors=workers)

    @property
    def urls(self) -> list[str]:
        return [door.url for door in self.proxy.doors]

    def begin(self) -> None:
        with self._stack as stack:
            stack.enter_context(self.master)
            stack.enter_context(self.replica)
            stack.enter_context(self.proxy)
            self._follow()
            self._stack = stack.pop_all()

    def end(self) -> None:
        self._stack.close()

    def _follow(self) -> None:
        self.replica.client().replicaof("127.0.0.1", self.master.port)
        self.master.wait_for_replicas(1)

    # ---- faults; each returns when it is over, with the numbers of the workers it cut off

    def kill_and_restart_empty(self) -> None:
        self.master.restart(keep=False)
        self.master.wait_until_answers()

    def restart_with_aof(self) -> None:
        self.master.restart()
        self.master.wait_until_answers()

    def flush(self) -> None:
        self.master.flush()

    def pause(self) -> None:
        self.master.pause()
        time.sleep(PAUSE_IN_TTL * self.ttl)
        self.master.resume()

    def fail_over_to_a_lagging_replica(self) -> None:
        """The replica hears nothing of the last second, and is the master then. The old one comes
        back as its replica, with nothing."""
        self.master.wait_for_replicas(1)
        self.replica.client().replicaof("NO", "ONE")
        time.sleep(LAG_SECONDS)
        self.master.kill()
        self.proxy.lead_to(self.replica.address)
        for door in self.proxy.doors:
            door.end_connections()
        self.master, self.replica = self.replica, self.master
        self.replica.wipe()
        self.replica.start()
        self._follow()

    def cut_some(self) -> frozenset[int]:
        """One half of the workers, then the other; their numbers."""
        many = max(1, self._workers // 2)
        first, self._next_cut = self._next_cut, self._next_cut + many
        cut = frozenset((first + number) % self._workers for number in range(many))
        for number in cut:
            self.proxy.doors[number].cut()
        time.sleep(CUT_IN_TTL * self.ttl)
        for number in cut:
            # What waited of every second one arrives late, as from a network that was down.
            self.proxy.doors[number].heal(deliver=number % 2 == 0)
        return cut

    def lose_replies_of_some(self) -> None:
        """For less than a holder can wait."""
        doors = self.proxy.doors[:: max(1, self._workers // 3)]
        for door in doors:
            door.drop_replies()
        time.sleep(PAUSE_IN_TTL * self.ttl / 2)
        for door in doors:
            door.heal()


class SentinelGround(Running):
    """A master, a replica and three sentinels, which the workers ask for the master."""

    def __init__(self, workers: int, ttl: float) -> None:
        self.ttl = ttl
        self.longest_outage = 0.0
        """Seconds in which there was no master."""
        self.fleet = RedisFleet(aof=True)
        self.urls = [self.fleet.url] * workers
        self._stack = ExitStack()

    def begin(self) -> None:
        self._stack.enter_context(self.fleet)

    def end(self) -> None:
        self._stack.close()

    def fail_over_to_a_lagging_replica(self) -> None:
        old = self.fleet.master
        old.wait_for_replicas(1)
        self.fleet.stop_replication()
        time.sleep(LAG_SECONDS)
        began = time.monotonic()
        self.fleet.fail_over()
        self.longest_outage = max(self.longest_outage, time.monotonic() - began)
        self.fleet.bring_back(old)


FAULTS: Final[Sequence[Callable[[Ground], frozenset[int] | None]]] = (
    Ground.kill_and_restart_empty,
    Ground.flush,
    Ground.pause,
    Ground.restart_with_aof,
    Ground.fail_over_to_a_lagging_replica,
    Ground.cut_some,
    Ground.lose_replies_of_some,
)
