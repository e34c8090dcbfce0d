"""What every session owes the fleet: to end those who are over, and to clean up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.liveness import Standstill, Timing
from volumelease.core.table import Holding
from volumelease.effects import Life, ListDirectory, Steps, Unlink
from volumelease.host import ProcessFacts
from volumelease.tallies import Tally

from .breaking import Breaking
from .cleaning import Cleaning
from .committer import Committer
from .layout import Layout
from .observer import STOOD_STILL, Observer
from .replica import Replica
from .segments import Segments

RING: Final = 8
"""How many other sessions each session watches when nobody waits, so that the dead leave the
table even then."""

CHORE_BEATS: Final = 6

NEAR: Final = 3
"""Sessions whose rings are listened for at once, and waiters ahead with which it begins."""


class Membership:
    """The chores of one session, done after its beats and while it waits."""

    def __init__(
        self,
        name: str,
        replica: Replica,
        committer: Committer,
        segments: Segments,
        breaking: Breaking,
        cleaning: Cleaning,
        timing: Timing,
        clock: Clock,
        here: ProcessFacts | None,
        life: Life | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally
        self._name = name
        self._replica = replica
        self._committer = committer
        self._segments = segments
        self._breaking = breaking
        self._cleaning = cleaning
        self._layout: Layout = replica.layout
        self._timing = timing
        self._clock = clock
        self._ahead = Observer(replica.layout, timing, clock, here, life)
        self._ring = Observer(replica.layout, timing, clock, here, life)
        self._grace = Standstill(timing)
        self._strangers: set[str] = set()
        self._beats = 0

    def chores(self) -> Steps[None]:
        """After a beat that counted. Errors: those of a commit; chores can wait."""
        self._beats += 1
        yield from self._breaking.end_what_was_watched()
        yield from self._end_the_dead()
        due = self._beats % CHORE_BEATS == 1
        retired = yield from self._segments.settle()
        if due or retired or self._cleaning.backlog:
            yield from self._cleaning.sweep(self._timing.beat_interval / 4)
        if due:
            yield from self._segments.refill_reserve()
            yield from self._remove_heartbeats_of_nobody()

    def make_way(self, waiting: Iterable[int]) -> Steps[None]:
        """End the sessions ahead of ``waiting`` requests that are over, the leases that are being
        broken, and the grace of a new log, when their time has come."""
        if self._replica.table.grace:
            yield from self._end_grace()
            return
        yield from self._breaking.end_what_was_watched()
        ahead = self._sessions_ahead(waiting)
        self._ahead.forget_others(ahead)
        yield from self._expire((yield from self._ahead.watch(ahead, self._replica.table)))

    @property
    def looks_a_second(self) -> float:
        """How often ``make_way`` asks the server for other sessions' beats."""
        return self._ahead.looks_a_second

    @property
    def tick_seconds(self) -> float:
        """How soon ``make_way`` has something to do again."""
        return self._ahead.tick_seconds(self._replica.table)

    def next_ahead(self, waiting: Iterable[int]) -> tuple[str, ...]:
        """The sessions from which the next grants are expected: of those before the first of our
        requests, the last comes to it last. Some, when they are many; and none where the turn is
        far away, since few can listen at a time."""
        found: dict[str, None] = {}
        for group in self._alike(waiting):
            blockers = self._replica.table.blockers(group[0])
            far = sum(not blocker.granted for blocker in blockers) >= NEAR
            if blockers and not far and blockers[-1].session != self._name:
                found[blockers[-1].session] = None
        return tuple(found)[:NEAR]

    def _sessions_ahead(self, waiting: Iterable[int]) -> list[str]:
        found: dict[str, None] = {}
        for group in self._alike(waiting):
            for blocker in self._replica.table.blockers(group[-1]):
                if blocker.session != self._name:
                    found[blocker.session] = None
        return list(found)

    def _alike(self, waiting: Iterable[int]) -> Iterable[list[Holding]]:
        """Those that still wait, oldest first, grouped by what they want: whatever is before the
        first of a group is before all of it, and so a thousand waiters for one path cost two
        looks at the queue and not a thousand."""
        groups: dict[tuple[tuple[str, ...], bool], list[Holding]] = {}
        for token in sorted(waiting):
            holding = self._replica.table.holdings.get(token)
            if holding is not None and not holding.granted:
                groups.setdefault((holding.keys, holding.exclusive), []).append(holding)
        return groups.values()

    def _end_the_dead(self) -> Steps[None]:
        names = sorted(self._replica.table.sessions)
        after = [name for name in names if name > self._name]
        ring = (after + [name for name in names if name < self._name])[:RING]
        self._ring.forget_others(ring)
        yield from self._expire((yield from self._ring.watch(ring, self._replica.table)))

    def _expire(self, over: list[tuple[str, str]]) -> Steps[None]:
        for name, evidence in over:
            held = self._held_by(name)
            done = yield from self._committer.commit(self._expiry(name, evidence), urgent=True)
            if done is not None:
                self._note_takeovers(held, evidence)
                with suppress(OSError):
                    yield Unlink(self._layout.session(name))

    def _held_by(self, session: str) -> list[Holding]:
        table = self._replica.table
        found = [table.holdings[token] for token in table.tokens_of(session)]
        return [holding for holding in found if holding.granted]

    def _note_takeovers(self, held: list[Holding], evidence: str) -> None:
        if self._tally is not None:
            reason = "standstill" if evidence.startswith(STOOD_STILL) else "death"
            for holding in held:
                self._tally.count("takeovers_total", self._tally.scope(holding.claims), reason)

    def _expiry(self, name: str, evidence: str) -> Callable[[], records.Expire | None]:
        record = records.Expire(name, evidence)
        return lambda: record if name in self._replica.table.sessions else None

    def _end_grace(self) -> Steps[None]:
        """A new log grants nothing until somebody watched it for ttl + cache: whoever held a
        lease under an older one has noticed by then."""
        now = self._clock.read()
        if self._grace.look(0, now, now):
            yield from self._committer.commit(
                lambda: records.Ready() if self._replica.table.grace else None
            )

    def _remove_heartbeats_of_nobody(self) -> Steps[None]:
        """Files of sessions that the table does not know, seen so twice in a row: a session that
        is just opening has its file before it is in the table."""
        try:
            names: list[str] = yield ListDirectory(self._layout.folder("sessions"))
        except OSError:
            return
        strangers = {name for name in names if name not in self._replica.table.sessions}
        for name in sorted(strangers & self._strangers):
            with suppress(OSError):
                yield Unlink(self._layout.session(name))
        self._strangers = strangers
