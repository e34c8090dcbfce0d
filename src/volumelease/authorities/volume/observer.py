"""Watching other sessions: is one over?

Three kinds of evidence, and nothing else: its heartbeat stood still for ttl + cache on our own
clock; its process is provably gone (same host, same boot, same pid namespace) together with every
process that uses its leases; or it declared that they all end with it, and the lock that it keeps
to its end, and that we saw it keep, was seen free twice, a while apart: when the first process of
a container ends, the others run on for a moment.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable
from typing import Final

from volumelease.clock import Clock
from volumelease.core.liveness import Standstill, Timing
from volumelease.core.table import Table
from volumelease.effects import Life, ProveDeath, ReadCounter, SeeLife, Steps
from volumelease.host import ProcessFacts
from volumelease.wire.fields import nameable

from .layout import Layout

LEAST_LOOK_SECONDS: Final = 0.25
LOOKS_A_SECOND: Final = 16
"""All looks of one session together: bounded load on the server however long the queue is."""

STOOD_STILL: Final = "no beat for"

PROOF_PAUSE_SECONDS: Final = 0.05
LIFE_PAUSE_SECONDS: Final = 0.2
APART_SECONDS: Final = 0.5
"""Between two looks at a life lock that is free: the least margin of any ttl."""


def _is_a_name(session: str) -> bool:
    """Whether a file can be called so. One whose name comes from a forged record has no heartbeat:
    it must not block others for ever."""
    return nameable(session) and "/" not in session and len(session) < 200


class _Watched:
    __slots__ = ("free_at", "life_at", "lived", "looked_at", "proof_at", "standstill")

    def __init__(self, timing: Timing) -> None:
        self.standstill = Standstill(timing)
        self.looked_at = float("-inf")
        self.proof_at = float("-inf")
        self.life_at = float("-inf")
        self.lived = False
        """Its life lock was seen taken: so locks of its host are seen here."""
        self.free_at: float | None = None


class Observer:
    """Remembers what one session saw of the others. Times on its own monotonic clock."""

    def __init__(
        self,
        layout: Layout,
        timing: Timing,
        clock: Clock,
        here: ProcessFacts | None,
        life: Life | None = None,
    ) -> None:
        self._layout = layout
        self._timing = timing
        self._clock = clock
        self._here = here
        self._life = life
        self._watched: dict[str, _Watched] = {}

    @property
    def looks_a_second(self) -> float:
        """Reads of counters a second, while this many are watched."""
        many = len(self._watched)
        return many / self._interval(many)

    def tick_seconds(self, table: Table) -> float:
        """How soon ``watch`` has something to do: a death on this host is noticed without asking
        the server, and so more often than a beat that is missing."""
        if any(watched.free_at is not None for watched in self._watched.values()) or any(
            self._within_reach(name, table) for name in self._watched
        ):
            return PROOF_PAUSE_SECONDS
        interval = self._interval(len(self._watched))
        if any(self._keeps_life(name, table) for name in self._watched):
            return min(interval, LIFE_PAUSE_SECONDS)
        return interval

    def _keeps_life(self, name: str, table: Table) -> bool:
        session = table.sessions.get(name)
        return self._life is not None and session is not None and session.facts.keeper

    def _interval(self, many: int) -> float:
        seconds = max(LEAST_LOOK_SECONDS, many / LOOKS_A_SECOND)
        return min(seconds, 0.9 * self._timing.beat_interval)

    def forget_others(self, names: Collection[str]) -> None:
        """Stop watching all but ``names``: an old observation must not be continued."""
        for name in [name for name in self._watched if name not in names]:
            del self._watched[name]

    def watch(self, names: Iterable[str], table: Table) -> Steps[list[tuple[str, str]]]:
        """Look at those sessions where it is time to. Returns (session, evidence) of those that
        may be ended; all are watched at once, so that many dead ones cost one ttl together."""
        over: list[tuple[str, str]] = []
        todo = [name for name in names if name in table.sessions]
        interval = self._interval(len(todo))
        for name in todo:
            watched = self._watched.setdefault(name, _Watched(self._timing))
            dead = yield from self._proven_dead(name, table, watched)
            if dead:
                over.append((name, "its process is gone"))
                continue
            if (yield from self._life_ended(name, table, watched)):
                over.append((name, "its container is gone"))
                continue
            if self._clock.monotonic() - watched.looked_at >= interval:
                stands = yield from self._stands_still(name, watched)
                if stands:
                    seen = f"{watched.standstill.seen_seconds:.1f}"
                    over.append((name, f"{STOOD_STILL} {seen} s"))
        return over

    def _stands_still(self, name: str, watched: _Watched) -> Steps[bool]:
        watched.looked_at = self._clock.monotonic()
        counter: int | None = None
        asked = self._clock.read()
        try:
            counter = yield ReadCounter(self._layout.session(name))
        except OSError as error:
            if error.errno != errno.ENOENT and _is_a_name(name):
                return False  # nothing was seen, so nothing counts
        return watched.standstill.look(counter, asked, self._clock.read())

    def _life_ended(self, name: str, table: Table, watched: _Watched) -> Steps[bool]:
        if self._life is None or not self._keeps_life(name, table):
            return False
        asked, free_at = self._clock.monotonic(), watched.free_at
        pause = LIFE_PAUSE_SECONDS if free_at is None else APART_SECONDS
        if asked - watched.life_at < pause:
            return False
        try:
            free: bool = yield SeeLife(self._life, name)
        except OSError:
            free = False
            watched.lived = False  # and is to be seen again first
        else:
            watched.lived = watched.lived or not free
        watched.life_at = self._clock.monotonic()  # the next look is asked for so long after this
        if not free or not watched.lived:
            watched.free_at = None
            return False
        watched.free_at = watched.life_at if free_at is None else free_at
        return free_at is not None

    def _within_reach(self, name: str, table: Table) -> bool:
        """Whether that session's process is one whose death could be proven here."""
        session, here = table.sessions.get(name), self._here
        if session is None or here is None:
            return False
        process = session.facts.process
        return (process.hostname, process.boot_id, process.pid_namespace) == (
            here.hostname,
            here.boot_id,
            here.pid_namespace,
        )

    def _proven_dead(self, name: str, table: Table, watched: _Watched) -> Steps[bool]:
        if not self._within_reach(name, table):
            return False
        process = table.sessions[name].facts.process
        now = self._clock.monotonic()
        if now - watched.proof_at < PROOF_PAUSE_SECONDS:
            return False
        watched.proof_at = now
        users = {
            (holding.client.pid, holding.client.start_time)
            for holding in table.holdings.values()
            if holding.session == name and holding.client is not None
        }
        everybody = [process, *(process._replace(pid=p, start_time=s) for p, s in sorted(users))]
        for one in everybody:
            gone: bool = yield ProveDeath(one)
            if not gone:
                return False
        return True
