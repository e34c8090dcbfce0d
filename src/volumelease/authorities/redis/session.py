"""One live worker incarnation on a volume whose leases a Redis keeps.

The same questions and answers as a session of a log, and the same life: one ``keep`` for all of
it, one ``attend`` while requests wait, one ``ask`` for each question, side by side.

Promise: while ``alive()``, this Redis grants nobody else anything that conflicts with what it
granted to this session, whatever happens to its memory: after a restart, a flush or a failover
nothing new is granted until every holder had a ttl to name what it holds. Limits: two masters at
once (a split brain of Redis) are two tables; a publish is checked before its rename and not sealed
by it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from volumelease.authorities.answers import SessionOver, moved
from volumelease.clock import Clock, Reading
from volumelease.core.liveness import Pulse, Timing
from volumelease.core.records import SessionFacts
from volumelease.effects import Bell, Heard, Listen, Sleep, Steps
from volumelease.errors import AuthorityUnreachable, LeaseError
from volumelease.model import Acquire, Answer, Claim, Holder, Question, Release, Waiting
from volumelease.tallies import Tally
from volumelease.wire.identity import Identity
from volumelease.wire.tellings import encode_session

from . import still
from .breaking import Breaking
from .calling import NONE_YET, Calls, Memory, Reply, memory_of, text
from .fleet import Reports
from .publishing import Publishing
from .requests import Requests
from .watching import (
    GRACE,
    MARK,
    PROOF_SECONDS,
    Ahead,
    Undertaker,
    Watch,
    ahead_in,
    counters_in,
)

RING: Final = 8
"""How many other sessions each one watches when nobody waits."""

OPEN_SECONDS: Final = 5.0
FIRST_POLL_SECONDS: Final = 0.002
POLL_SECONDS: Final = 0.026
ARMED_POLL_SECONDS: Final = 0.5
COLLECT_BEATS: Final = 6
ASKED_AHEAD: Final = 4
"""Of how many waiting requests the sessions in their way are asked for at once."""

MORE_AHEAD: Final = 504
"""So many more in the way are told of twice a beat, by their counters alone, so that a row of dead
ones costs one ttl. Each waiter asks: a long queue costs the square of its length. Limit: of those
who are further ahead of everybody that lives, another ttl for each 512."""

CHUNK: Final = 200
"""Requests named in one call after the server forgot them: a long call holds up everybody."""


class RedisSession:
    """A session of one volume whose authority is a Redis."""

    def __init__(
        self,
        identity: Identity,
        root: str,
        facts: SessionFacts,
        name: str,
        clock: Clock,
        unique: Callable[[], str],
        wake: Callable[[int | None], None],
        bell: Bell | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.identity = identity
        self.facts = facts
        self.name = name
        self.root = root
        self.timing = Timing(identity.ttl, cache=0.0)
        self.pulse = Pulse(self.timing, clock.read())
        self.clock = clock
        self._wake = wake
        self._bell = bell
        self.calls = Calls(identity.id, name, clock, unique, self._rejoin, self._lose)
        self._reports = None if tally is None else Reports(identity.id, self.calls, tally, clock)
        self.publishing = Publishing(self, clock, unique)
        self.breaking = Breaking(self)
        self.requests = Requests(
            self.calls, clock, self.timing, self._loss, wake, self.publishing.answer
        )
        self._ahead: list[Ahead] = []
        self._ahead_watch = Watch(self.timing)
        self._ring_watch = Watch(self.timing)
        here = facts.process if facts.process.boot_id else None
        self._undertaker = Undertaker(clock, here)
        self._counter = 0
        self._beats = 0
        self._touched = 0
        self._opened = False
        self._elsewhere = still.Elsewhere(self.calls, self.publishing.layout, clock, self.timing)
        self._poll = FIRST_POLL_SECONDS
        self._look_at = self._wide_at = 0.0

    # ---- what others ask

    def alive(self) -> bool:
        """Whether this session may still assume what it holds."""
        return self.pulse.alive(self.clock.read())

    def remaining_seconds(self) -> float:
        return max(0.0, self.pulse.deadline - self.clock.boottime()) if self.alive() else 0.0

    def _loss(self) -> str:
        return "" if self.alive() else self.pulse.lost

    def loss_of(self, token: int) -> str:
        """Why the lease of ``token`` can no longer be assumed, or ""."""
        return self.requests.loss_of(token)

    @property
    def waits(self) -> bool:
        """Whether any request of this session is still waiting."""
        return bool(self.requests.waiting())

    def still_waits(self, token: int) -> bool:
        return self.alive() and self.requests.still_waits(token)

    def tail(self) -> int:
        """The least token that this session was not told of yet: every request and every end of
        one takes a number."""
        return self.calls.last + 1

    def who_holds(self, claim: Claim) -> Holder | None:
        return self.requests.who_holds(claim)

    def give_up(self, question: Acquire) -> None:
        self.requests.give_up(question)

    def ask(self, question: Question) -> Steps[Answer]:
        """Answer one question; see ``Requests.ask``."""
        asked = self.clock.monotonic()
        answer = yield from self.requests.ask(question)
        if self._reports is not None and isinstance(question, Acquire | Release):
            self._reports.note_call(asked)
        if isinstance(answer, Waiting):
            self._look_at = min(self._look_at, self.clock.monotonic() + FIRST_POLL_SECONDS)
            self._poll = FIRST_POLL_SECONDS
            if self._bell is not None:
                self._bell.nudge()  # whoever attends already listens for another one's sake
        return answer

    def _lose(self, reason: str) -> None:
        self.pulse.lose(reason)
        self._wake(None)

    # ---- life

    def open(self) -> Steps[None]:
        """Begin. Errors: those of ``CallScript``; ``VolumeUnsuitable``, ``AuthorityMoved``."""
        until = self.clock.monotonic() + OPEN_SECONDS
        known = yield from still.newest_memory(self.publishing.layout)
        named = max(known or NONE_YET, still.least_memory(self.identity))
        opened = False
        while not opened:
            self.pulse = Pulse(self.timing, self.clock.read())
            self._counter += 1  # whoever saw that of an earlier try stand counts from then
            try:
                facts = encode_session(self.facts)
                reply = yield from self.calls.call_in(named, "open", facts, self._counter)
            except AuthorityUnreachable:
                if self.clock.monotonic() > until:
                    raise
                yield Sleep(0.1)
                continue
            except SessionOver as over:
                raise moved(self.root, over.moved) if over.moved else over from None
            if reply.word == "evicts":
                raise still.evicts(self.root, text(reply.rest[0]))
            named = memory_of(reply)
            late = not self.alive() and self.clock.monotonic() < until  # then once more
            opened = reply.word == "open" and not late
        self.calls.memory = named
        if not self.alive():
            raise SessionOver(
                f"no session on {self.root} could be opened in time: {self.pulse.lost}",
                advice="Try again",
            )
        self._opened = True

    def close(self) -> Steps[None]:
        """End everything this session holds or waits for."""
        self.requests.wanted.clear()
        if self._opened and self.alive():
            if self._reports is not None:
                yield from self._reports.leave()
            with suppress(SessionOver):
                yield from self.calls.once("close")
        self.pulse.lose("the session was closed")

    def keep(self) -> Steps[None]:
        """Beat until the session is over, and do the chores of a member of the fleet."""
        while self.alive():
            started = self.clock.monotonic()
            counted = yield from self.beat()
            if self._reports is not None:
                self._reports.note_beat(started, counted, self.pulse.lost)
            if counted:
                yield from self._chores()
            pause = self.timing.beat_interval if counted else self.timing.beat_interval / 8
            yield Sleep(max(0.05, pause - (self.clock.monotonic() - started)))
        self._wake(None)

    def _chores(self) -> Steps[None]:
        with suppress(LeaseError):  # the next beat says whether the session is in danger
            yield from self.requests.give_back_unwanted()
        if self._reports is not None:
            yield from self._reports.chore()
        self._beats += 1
        collector = self.publishing.collector
        if self._beats % COLLECT_BEATS == 2 or collector.backlog:
            with suppress(LeaseError):
                yield from collector.collect(self.timing.beat_interval / 4)

    def beat(self) -> Steps[bool]:
        """One heartbeat, one call. Returns whether it counts.

        It counts from when it was sent, and only if it was answered, and with it whatever
        somebody else did to this session's requests, before the previous deadline.
        """
        self.pulse.sending(self.clock.read())
        self._counter += 1
        before, quiet = self.requests.known(), self.requests.quiet
        asked = self.clock.read()
        try:
            reply = yield from self.calls.once("beat", self._counter, self.requests.floor, RING)
            answered, memory = self.clock.read(), self.calls.memory
            if self._differs(reply, len(before) if quiet and self.requests.quiet else None):
                yield from self._compare()
            gone = yield from still.still_this_volume(self.root, self.identity.id)
            gone = gone or (yield from self._elsewhere.judge())
        except LeaseError:
            return False
        if gone:
            self._lose(gone)
        if not self.pulse.answered(self.clock.read()):
            self._wake(None)
            return False
        with suppress(LeaseError):
            yield from self._end_the_dead(reply, memory, asked, answered)
        return True

    def _differs(self, reply: Reply, expected: int | None) -> bool:
        """Whether the server tells another story than this session believes. ``expected``
        requests, None while some are on their way."""
        touched, count = int(reply.rest[2]), int(reply.rest[1])
        if touched != self._touched:
            return True
        return expected is not None and count != expected and expected == len(self.requests.known())

    def _compare(self) -> Steps[None]:
        before = self.requests.known()
        reply = yield from self.calls.once("inspect")
        self._touched = int(reply.rest[0])
        self.requests.compare(before, reply.rest[1])

    def _end_the_dead(
        self, reply: Reply, memory: Memory, asked: Reading, answered: Reading
    ) -> Steps[None]:
        """Whom nobody waits for: the sessions next to this one in the ring of their names."""
        grace, _, _, marked, ring, _ = reply.rest
        pairs = zip(ring[::2], ring[1::2], strict=True)
        seen = [(text(name), text(counter)) for name, counter in pairs if counter]
        seen += self._elsewhere.standing(grace, marked, memory)
        yield from self._end(self._ring_watch.look(seen, asked, answered), dict(seen), memory)

    # ---- a Redis that forgot

    def _rejoin(self, memory: Memory) -> Steps[None]:
        """Name to a new memory what this session has. Errors: ``SessionOver``, those of
        ``Calls.call_in``."""
        known = yield from still.newest_memory(self.publishing.layout)
        if known is not None and known.incarnation >= memory.incarnation:
            memory = known  # else the server, which forgot that one too, would count from it again
        done: set[int] = set()
        self._counter += 1
        while True:
            some = self.requests.named(done)[:CHUNK]
            reply = yield from self.calls.call_in(
                memory,
                "reclaim",
                encode_session(self.facts),
                self._counter,
                self.requests.floor,
                *self.requests.reclaiming(some),
            )
            if reply.word == "incarnation":
                memory, done = memory_of(reply), set()
                continue
            lost = {int(number) for number in reply.rest[1]}
            for mine in some:
                if mine.number in lost:
                    self.requests.lose(mine, "the Redis forgot it and gave it to somebody else")
            done |= {mine.number for mine in some}
            if not self.requests.named(done):
                break
        if memory > self.calls.memory:
            self.calls.memory = memory
            self._touched = 0

    # ---- waiting

    def attend(self) -> Steps[None]:
        """While requests wait: ask how they stand, end those ahead that are over, hear the
        bell."""
        self._look_at, self._poll = self.clock.monotonic(), FIRST_POLL_SECONDS
        armed = False
        while self.alive() and self.requests.waiting():
            try:
                armed = yield from self._once(armed)
            except SessionOver:
                return
            except LeaseError:  # Redis is in trouble: be gentle
                yield Sleep(self.timing.beat_interval / 8)

    def _once(self, armed: bool) -> Steps[bool]:
        now = self.clock.monotonic()
        if now >= self._look_at:
            yield from self._look()
            longest = ARMED_POLL_SECONDS if armed else POLL_SECONDS
            self._poll = min(2 * self._poll, longest)
            self._look_at = self.clock.monotonic() + self._poll
            if not self.requests.waiting():
                return armed
        for name in (yield from self._undertaker.dead(self._ahead)):
            yield from self._expire(name, "")
            self._look_at = 0.0
        pause = max(0.0, self._look_at - self.clock.monotonic())
        if self._undertaker.within_reach(self._ahead):
            pause = min(pause, PROOF_SECONDS)
        if self._bell is None:
            yield Sleep(pause)
            return False
        heard: Heard = yield Listen(self._bell, (), pause)
        if heard.rung:
            self._look_at = 0.0
        return heard.armed

    def _look(self) -> Steps[None]:
        waiting = self.requests.waiting()
        asked = self.clock.read()
        wide = asked.monotonic >= self._wide_at
        if wide:
            self._wide_at = asked.monotonic + self.timing.beat_interval / 2
        ahead_of = f"{ASKED_AHEAD} {MORE_AHEAD}" if wide else ASKED_AHEAD
        reply = yield from self.calls.once("look", ahead_of, *(mine.number for mine in waiting))
        answered, memory = self.clock.read(), self.calls.memory
        grace, standings, ahead, marked = reply.rest
        by_number = {mine.number: mine for mine in waiting}
        for number, word in zip(standings[::2], standings[1::2], strict=True):
            mine = by_number.get(int(number))
            if mine is None:
                continue  # nobody asked that
            if word == b"granted":
                self.requests.granted(mine.token)
            elif word != b"waiting" and self.requests.still_waits(mine.token):
                self.requests.lose(mine, "the lease was broken")
        self._ahead = ahead_in(ahead)
        seen, far = counters_in(ahead)
        seen += self._elsewhere.standing(grace, marked, memory)
        over = self._ahead_watch.look(seen, asked, answered, far if wide else None)
        yield from self._end(over, dict([*seen, *far]), memory)

    def _end(self, over: list[str], seen: dict[str, str], memory: Memory) -> Steps[None]:
        """End what stood for a ttl, and was ``seen`` in that memory."""
        for name in over:
            if name == GRACE:
                if not (yield from self._elsewhere.lets_end(self.identity, memory)):
                    continue
                reply = yield from self.calls.only_in(memory, "ready", seen[name])
            elif name.startswith(MARK):
                token = name.removeprefix(MARK)
                reply = yield from self.calls.only_in(memory, "break", token, "end", "")
            else:
                yield from self._expire(name, seen[name])
                continue
            if reply is not None:
                self.requests.granted_by(reply.rest[0])

    def _expire(self, name: str, counter: str) -> Steps[None]:
        reply = yield from self.calls.once("expire", name, counter)
        self.requests.granted_by(reply.rest[0])
