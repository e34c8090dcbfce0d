"""Rules about who lives, and who may say that somebody does not."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from tests.simulation.clocks import HostClock
from volumelease.authorities.volume.breaking import Breaking
from volumelease.authorities.volume.observer import Observer
from volumelease.authorities.volume.session import Session
from volumelease.clock import Reading
from volumelease.core.liveness import ATTRIBUTE_CACHE_SECONDS, Pulse, Standstill, Timing
from volumelease.core.table import Table
from volumelease.effects import ProveDeath, ReadCounter, SetCounter, Steps

Patches = list[tuple[Any, str, Any]]


def broken_without_a_watch() -> Patches:
    def at_once(self: Breaking) -> Steps[None]:
        for token in sorted(self._replica.table.breaking):
            yield from self.end_at_once(token)

    return [(Breaking, "end_what_was_watched", at_once)]


def nobody_ends_what_is_broken() -> Patches:
    def idle(self: Breaking) -> Steps[None]:
        return
        yield

    return [(Breaking, "end_what_was_watched", idle)]


def beat_counts_from_its_answer() -> Patches:
    def answered(self: Pulse, now: Reading) -> bool:
        self._sent = None
        if not self.alive(now):
            return False
        self.deadline = now.boottime + self._timing.ttl - self._timing.margin
        self._counted = now
        return True

    return [(Pulse, "answered", answered)]


def late_beat_revives() -> Patches:
    def alive(self: Pulse, now: Reading) -> bool:
        return not self.lost and now.boottime < self.deadline

    def answered(self: Pulse, now: Reading) -> bool:
        sent, self._sent = self._sent, None
        if sent is None or self.lost:
            return False
        self.deadline = sent.boottime + self._timing.ttl - self._timing.margin
        return True

    return [(Pulse, "alive", alive), (Pulse, "answered", answered)]


def no_deadline() -> Patches:
    def alive(self: Pulse, now: Reading) -> bool:
        return not self.lost

    return [(Pulse, "alive", alive)]


def deadline_on_monotonic() -> Patches:
    def notice(self: Pulse, since: Reading, now: Reading) -> None:
        """The gap between the clocks can't be seen by who reads one of them."""

    return [(HostClock, "boottime", HostClock.monotonic), (Pulse, "_notice_pause", notice)]


def _timing(**changes: Callable[[Timing], float]) -> Patches:
    init = Timing.__init__

    def changed(self: Timing, ttl: float, cache: float = ATTRIBUTE_CACHE_SECONDS) -> None:
        init(self, ttl, cache)
        for name, change in changes.items():
            setattr(self, name, change(self))

    return [(Timing, "__init__", changed)]


def no_margin() -> Patches:
    return _timing(margin=lambda timing: 0.0)


def no_cache_allowance() -> Patches:
    return _timing(standstill=lambda timing: timing.ttl)


def standstill_until_the_answer() -> Patches:
    look = Standstill.look

    def late(self: Standstill, counter: int | None, asked: Reading, answered: Reading) -> bool:
        return look(self, counter, answered, answered)

    return [(Standstill, "look", late)]


def clocks_of_two_hosts() -> Patches:
    def write(self: Session) -> Steps[bool]:
        yield SetCounter(self.layout.session(self.name), int(self._clock.wall()))
        return True

    def look(self: Observer, name: str, watched: Any) -> Steps[bool]:
        watched.looked_at = self._clock.monotonic()
        try:
            beaten: int = yield ReadCounter(self._layout.session(name))
        except OSError:
            return False
        return bool(self._clock.wall() - beaten > self._timing.standstill)

    return [(Session, "_write_counter", write), (Observer, "_stands_still", look)]


def missing_heartbeat_is_death() -> Patches:
    stands_still = Observer._stands_still

    def look(self: Observer, name: str, watched: Any) -> Steps[bool]:
        try:
            yield ReadCounter(self._layout.session(name))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return True
        return (yield from stands_still(self, name, watched))

    return [(Observer, "_stands_still", look)]


def _proof(*, namespace: bool, machine: bool, start_time: bool) -> Patches:
    def proven(self: Observer, name: str, table: Table, watched: Any) -> Steps[bool]:
        session, here = table.sessions.get(name), self._here
        if session is None or here is None:
            return False
        process = session.facts.process
        if namespace and process.pid_namespace != here.pid_namespace:
            return False
        if machine and (process.hostname, process.boot_id) != (here.hostname, here.boot_id):
            return False
        if not start_time:
            process = process._replace(start_time=0)
        gone: bool = yield ProveDeath(process)
        return gone

    return [(Observer, "_proven_dead", proven)]


def death_across_namespaces() -> Patches:
    return _proof(namespace=False, machine=True, start_time=True)


def death_across_hosts() -> Patches:
    return _proof(namespace=True, machine=False, start_time=True)


def pid_without_start_time() -> Patches:
    return _proof(namespace=True, machine=True, start_time=False)


def own_expiry_ignored() -> Patches:
    lose = Pulse.lose

    def deaf(self: Pulse, reason: str) -> None:
        if not reason.startswith("another session saw no beat"):
            lose(self, reason)

    return [(Pulse, "lose", deaf)]
