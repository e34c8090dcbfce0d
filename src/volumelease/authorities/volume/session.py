"""One live worker incarnation on a volume: it beats, owns requests, and watches who is ahead.

All methods that touch the volume are protocols (generators of effects). A driver runs several of
them side by side: one ``keep`` for the whole life of the session, one ``attend`` while requests
wait, and one ``ask`` for each question.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress

from volumelease.authorities import answers
from volumelease.authorities.answers import SessionOver
from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.liveness import Pulse, Succession, Timing
from volumelease.core.moving import movable
from volumelease.core.records import Entry, SessionFacts
from volumelease.core.table import Outcome
from volumelease.effects import (
    Bell,
    Life,
    ProveDeath,
    ReadCounter,
    SetCounter,
    Sleep,
    Steps,
    Turn,
    Unlink,
)
from volumelease.errors import LeaseError, LogDamaged
from volumelease.host import ProcessFacts
from volumelease.model import Acquire, Answer, Lost, Question, Waiting
from volumelease.tallies import Tally, note_beat
from volumelease.wire.identity import Identity

from . import survival
from .attending import Attendance
from .breaking import Breaking
from .cleaning import DEFAULT_RETENTION_SECONDS, Cleaning
from .committer import Committer
from .ground import LogForgotten
from .layout import Layout
from .membership import CHORE_BEATS, Membership
from .publishing import Publishing
from .replica import Replica
from .reports import Reports
from .requests import Requests
from .segments import Segments


class Session:
    """A session of one volume.

    Promise: while ``alive()``, no other session is granted anything that conflicts with what
    this one was granted. Limit: what this process does after the loss, in place, nobody stops.
    """

    def __init__(
        self,
        identity: Identity,
        layout: Layout,
        facts: SessionFacts,
        name: str,
        clock: Clock,
        turn: Turn,
        unique: Callable[[], str],
        wake: Callable[[int | None], None],
        retention_seconds: float = DEFAULT_RETENTION_SECONDS,
        bell: Bell | None = None,
        turnstile: Turn | None = None,
        life: Life | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.identity = identity
        self.layout = layout
        self.facts = facts
        self.name = name
        self.timing = Timing(identity.ttl)
        self.pulse = Pulse(self.timing, clock.read())
        self.replica = Replica(layout, clock, self)
        self._tally = tally
        self.committer = Committer(
            self.replica, name, clock, turn, self.alive, self._turn_over, turnstile, tally
        )
        self._reports = None if tally is None else Reports(layout, name, tally, clock)
        self._clock = clock
        self._wake = wake
        self._bell, self._life = bell, life
        self.publishing = Publishing(
            name, facts, self.replica, self.committer, clock, unique, self._loss_of_lease
        )
        self.requests = Requests(name, self.replica, self.committer, self.publishing, self._loss)
        self.membership = self._join(unique, retention_seconds)
        self.attendance = self._waiting_room()
        self._counter = 0
        self._beats = 0
        self._opened = False

    def _join(self, unique: Callable[[], str], retention_seconds: float) -> Membership:
        name, replica, committer, clock = self.name, self.replica, self.committer, self._clock
        process = self.facts.process
        boot, timing = process.boot_id or name, self.timing
        self.segments = Segments(replica, name, clock, unique, boot, committer.spend_reserve)
        cleaning = Cleaning(replica, name, clock, boot, retention_seconds)
        self.breaking = Breaking(replica, committer, timing, clock, self._tally)
        here = process if process.boot_id else None
        return Membership(
            name,
            replica,
            committer,
            self.segments,
            self.breaking,
            cleaning,
            timing,
            clock,
            here,
            self._life,
            self._tally,
        )

    def _waiting_room(self) -> Attendance:
        return Attendance(
            self.requests,
            self.replica,
            self.membership,
            self._clock,
            self._bell,
            self.alive,
            self.timing,
        )

    # ---- what the replica and the pulse say

    def entry_applied(self, index: int, entry: Entry, outcome: Outcome) -> None:
        if entry.author == self.name:
            self.committer.landed(index, entry, outcome)
            if self._bell is not None and (outcome.granted or outcome.behind):
                self._ring(self._bell, outcome)
        if self._opened and self.name not in self.replica.table.sessions:
            self.pulse.lose(answers.why_over(self.replica.table))
            self._wake(None)
        if outcome.ended:
            self.breaking.heard(entry, outcome)
        for token in (*outcome.granted, *outcome.ended):
            if token in self.requests.wanted:
                self._wake(token)
        if isinstance(entry.body, records.Breaking) and not outcome.void:
            token, reason = entry.body
            author = self.replica.table.sessions.get(entry.author)
            by = answers.breaker(author.facts if author else None, reason)
            self.requests.note_breaker(token, by)
            if token in self.requests.wanted:
                self._wake(token)

    def _ring(self, bell: Bell, outcome: Outcome) -> None:
        """Our own commit let somebody else go ahead: only then is anybody rung for."""
        holdings = self.replica.table.holdings
        granted = set()
        for token in outcome.granted:
            if holdings[token].session != self.name:
                granted.add(holdings[token].session)
        if granted or any(holdings[token].session != self.name for token in outcome.behind):
            bell.ring(frozenset(granted))

    def table_loaded(self) -> None:
        self.committer.loaded()
        if self._opened and self.name not in self.replica.table.sessions:
            self.pulse.lose(answers.why_over(self.replica.table))
        self._wake(None)

    def alive(self) -> bool:
        """Whether this session may still assume what it holds."""
        return self.pulse.alive(self._clock.read())

    def remaining_seconds(self) -> float:
        return max(0.0, self.pulse.deadline - self._clock.boottime()) if self.alive() else 0.0

    def _loss(self) -> str:
        return "" if self.alive() else self.pulse.lost

    def loss_of(self, token: int) -> str:
        """Why the lease of ``token`` can no longer be assumed, or ""."""
        return self.requests.loss_of(token)

    def _loss_of_lease(self, token: int) -> str:
        return self.requests.loss_of(token)

    @property
    def waits(self) -> bool:
        """Whether any request of this session is still waiting."""
        return bool(self.requests.waiting())

    def ask(self, question: Question) -> Steps[Answer]:
        """Answer one question; see ``Requests.ask``."""
        try:
            answer = yield from self.requests.ask(question)
        except LogForgotten as error:
            self.pulse.lose(str(error))
            self._wake(None)
            return Lost(str(error))
        if self._bell is not None and isinstance(answer, Waiting):
            self._bell.nudge()  # whoever attends already listens for another one's sake
            if isinstance(question, Acquire):
                self._announce(self._bell, answer.token)
        return answer

    def _announce(self, bell: Bell, token: int) -> None:
        table = self.replica.table
        holding = table.holdings.get(token)
        if holding is not None:
            ahead = {other.session for other in table.blockers(holding)}
            bell.announce(frozenset(ahead - {self.name}))

    def look(self) -> Steps[None]:
        """Read what others committed. Errors: none; what is wrong, the next beat finds."""
        with suppress(LeaseError):
            yield from self.replica.catch_up()

    # ---- life

    def open(self) -> Steps[None]:
        """Begin: beat, then say so in the log."""
        began_at = self._clock.boottime()
        yield from self.replica.catch_up()
        self._must_not_have_moved()
        self.pulse = Pulse(self.timing, self._clock.read())
        yield from self._create_heartbeat()
        try:
            done = yield from self.committer.commit(
                lambda: None if self.replica.table.moved else records.Open(self.facts)
            )
            if self._clock.boottime() - began_at > self.timing.beat_interval:
                yield from self.replica.must_stand()  # else the first beat is soon enough
        except LogForgotten as error:
            raise SessionOver(str(error), advice="Try again") from error
        self._must_not_have_moved()
        if done is None or done.void or not self.alive():
            self.pulse.lose("the session could not be opened in time")
            raise SessionOver(self.pulse.lost)
        self._opened = True

    def resume(self, predecessor: ProcessFacts, until: float) -> Steps[None]:
        """Go on with the session of this name: what it held stays held. ``until`` (boottime): a
        deadline that the predecessor had.

        Safe because the predecessor is provably gone with everything it had under way (a commit
        of it that landed now would be taken for one of ours, and a beat could hide ours), and
        because this is nothing but its next beat (``core.liveness.Succession``), which counts only
        if the log was read without an end of this session in it. Once: what an attempt that
        failed sent may be under way.

        Not one whose process kept its life lock. To whoever saw that taken its end proves that
        the session is over, and nobody can know that no such observer is about to say so; all
        its users ended with that process, so that nothing is lost.

        Errors: ``SessionOver`` when it can't be resumed; those of reading the log.
        """
        gone: bool = yield ProveDeath(predecessor)
        if not gone:
            self.pulse.lose("its process is not provably gone")
            raise SessionOver(self.pulse.lost)
        yield from self.replica.catch_up()
        self._must_not_have_moved()
        known = self.replica.table.sessions.get(self.name)
        over = survival.ended(known)
        if known is None or over:
            self.pulse.lose(over)
            raise SessionOver(self.pulse.lost)
        self.committer.go_on_after(max(known.recent, default=0))
        try:
            counter: int = yield ReadCounter(self.layout.session(self.name))
        except OSError as error:
            raise survival.no_heartbeat(self.layout, error) from error
        going_on = Succession(counter, until)
        self._counter = going_on.last_counter()
        self.pulse = going_on.pulse(self.timing, self._clock.read())
        self._opened = True
        if not (yield from self.beat()):
            self.pulse.lose("the predecessor's session could not be resumed in time")
            raise SessionOver(self.pulse.lost)
        self.requests.take_over()
        self.publishing.take_over()

    def _must_not_have_moved(self) -> None:
        if authority := self.replica.table.moved:
            raise answers.moved(self.layout.root, authority)

    def _create_heartbeat(self) -> Steps[None]:
        self._counter += 1
        yield from survival.create_heartbeat(self.layout, self.name, self._counter)

    def close(self) -> Steps[None]:
        """End everything this session holds or waits for."""
        self.requests.wanted.clear()
        if self._opened and self.alive():
            for token in self.replica.table.tokens_of(self.name):
                with suppress(LeaseError):  # else whoever comes next does it
                    yield from self.publishing.settle_token(token)
            if self._reports is not None:
                yield from self._reports.leave()
            yield from self.committer.commit(records.Close, urgent=True)
            with suppress(OSError):
                yield Unlink(self.layout.session(self.name))
        self.pulse.lose("the session was closed")

    def keep(self) -> Steps[None]:
        """Beat until the session is over, and do the chores of a member of the fleet."""
        while self.alive():
            started = self._clock.monotonic()
            counted = yield from self.beat()
            if self._tally is not None:
                note_beat(self._tally, self._clock.monotonic() - started, counted, self.pulse.lost)
            if counted:
                yield from self._chores()
            pause = self.timing.beat_interval if counted else self.timing.beat_interval / 8
            yield Sleep(max(0.05, pause - (self._clock.monotonic() - started)))
        self._wake(None)

    def beat(self) -> Steps[bool]:
        """One heartbeat. Returns whether it counts.

        It counts from when it was sent, and only if its write, the identity, the last entries we
        knew and the tail of the log were all read before the previous deadline.
        """
        self.pulse.sending(self._clock.read())
        self._counter += 1
        written = True
        try:
            written = yield from self._write_counter()
            verdict = yield from survival.still_the_same_log(self.replica, self.identity.id)
        except OSError:
            return False
        except LogDamaged as error:
            verdict = str(error)
        except LeaseError:
            return False
        if verdict:
            self.pulse.lose(verdict)
        elif not written:
            return False
        counted = self.pulse.answered(self._clock.read())
        if not counted:
            self._wake(None)
        return counted

    def _write_counter(self) -> Steps[bool]:
        """Returns whether it was written. A file that somebody removed is made again, for the
        next beat; that can fail like everything, and must not end the beating."""
        try:
            yield SetCounter(self.layout.session(self.name), self._counter)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            with suppress(LeaseError):
                yield from self._create_heartbeat()
            return False
        return True

    def _chores(self) -> Steps[None]:
        with suppress(LeaseError):  # the next beat says whether the session is in danger
            yield from self.requests.give_back_unwanted()
        with suppress(LeaseError):
            yield from self.membership.chores()
            self._beats += 1
            if self._reports is not None:
                yield from self._reports.chore(self.replica)
            collector = self.publishing.collector
            if self._beats % CHORE_BEATS == 2 % CHORE_BEATS or collector.backlog:
                yield from collector.collect(self.timing.beat_interval / 4)

    def move(self, authority: str) -> Steps[bool]:
        """End this log, for good: another authority grants from here on. Returns whether it did;
        not unless this session holds the whole volume. Errors: those of ``Committer.commit``."""
        yield from self.publishing.settle(("",))
        body = records.Moved(authority)
        yield from self.committer.commit(
            lambda: body if movable(self.replica.table, self.name) else None, urgent=True
        )
        return self.replica.table.moved == authority

    def _turn_over(self) -> Steps[None]:
        yield from self.segments.turn_over()

    # ---- waiting

    def attend(self) -> Steps[None]:
        """While requests wait: read the log, end those ahead that are over, hear the bell."""
        try:
            yield from self.attendance.attend()
        except SessionOver:
            return
        except LogDamaged as error:
            self.pulse.lose(str(error))
            self._wake(None)
