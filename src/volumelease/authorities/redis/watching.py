"""Watching the others: is one over, was a mark or a grace seen for long enough?

There is no clock in Redis. A session is ended by one whose own monotonic clock saw its counter
stand for a ttl, and the script compares that counter once more. Why nobody starts before the
holder stopped stands in ``core.liveness``; here a counter is read where it was written, so there
is no cache to add.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from volumelease.clock import Clock, Reading
from volumelease.core.liveness import Standstill, Timing
from volumelease.core.records import SessionFacts
from volumelease.effects import ProveDeath, Steps
from volumelease.host import ProcessFacts
from volumelease.wire.tellings import decode_session

from .calling import Memory, text

PROOF_SECONDS: Final = 0.05
"""How often a death on this host is looked for: it costs the server nothing."""

GRACE: Final = "grace "
MARK: Final = "mark "

NEAREST: Final = 3
"""Deaths are looked for among so many of those ahead: in a long queue everybody would look at
everybody, and nothing else would get done."""


class Ahead(NamedTuple):
    """A session that stands in the way, and the processes that use its leases (pid and start
    time)."""

    name: str
    facts: SessionFacts
    clients: tuple[tuple[int, int], ...]


class Watch:
    """What one session saw standing still: the counters of sessions, and what has none (a mark,
    a grace), which stands from the first look on."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._watched: dict[str, tuple[Standstill, str]] = {}
        self._far: dict[str, tuple[Standstill, str]] = {}

    def look(
        self,
        seen: Iterable[tuple[str, str]],
        asked: Reading,
        answered: Reading,
        far: Iterable[tuple[str, str]] | None = (),
    ) -> list[str]:
        """Note ``(name, value)`` of all there is to watch, ``asked`` for and ``answered`` then; an
        old observation of anything else ends. ``far``: more of it, which not every look tells of;
        None: this one does not, and what was observed of it stays. Returns what stood for a ttl."""
        over: list[str] = []

        def noted(told: Iterable[tuple[str, str]]) -> dict[str, tuple[Standstill, str]]:
            now: dict[str, tuple[Standstill, str]] = {}
            for name, value in told:
                known = self._watched.get(name) or self._far.get(name)
                if known is None or known[1] != value:
                    known = (Standstill(self._timing), value)
                now[name] = known
                if known[0].look(0, asked, answered):
                    over.append(name)
            return now

        near = noted(seen)
        further = self._far if far is None else noted(far)
        self._watched = near
        self._far = {name: known for name, known in further.items() if name not in near}
        return over


class Undertaker:
    """Proves deaths on this host. Times on the monotonic clock."""

    def __init__(self, clock: Clock, here: ProcessFacts | None) -> None:
        self._clock = clock
        self._here = here
        self._at = -PROOF_SECONDS

    def within_reach(self, ahead: Iterable[Ahead]) -> list[Ahead]:
        """Those nearest to the head of the queue whose death could be proven here."""
        here = self._here
        if here is None:
            return []
        mine = (here.hostname, here.boot_id, here.pid_namespace)
        return [
            one
            for one in ahead
            if (process := one.facts.process)
            and (process.hostname, process.boot_id, process.pid_namespace) == mine
        ][:NEAREST]

    def dead(self, ahead: Iterable[Ahead]) -> Steps[list[str]]:
        """The names of those that are provably gone, with every process that uses their
        leases."""
        now = self._clock.monotonic()
        if now - self._at < PROOF_SECONDS:
            return []
        self._at = now
        found = []
        for one in self.within_reach(ahead):
            process = one.facts.process
            users = [process._replace(pid=pid, start_time=start) for pid, start in one.clients]
            for user in (process, *users):
                gone: bool = yield ProveDeath(user)
                if not gone:
                    break
            else:
                found.append(one.name)
        return found


def ahead_in(told: list[list[Any]]) -> list[Ahead]:
    """Those of a reply of ``look.lua`` of whom more is told than their counter."""
    return [
        Ahead(
            text(name),
            decode_session(text(facts)),
            tuple(client_of(text(client)) for client in clients),
        )
        for name, _, facts, clients in told
        if facts
    ]


def counters_in(told: list[list[Any]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What such a reply tells to watch: of those, and of the others."""
    near = [(text(name), text(counter)) for name, counter, facts, _ in told if counter and facts]
    far = [(text(name), text(counter)) for name, counter, facts, _ in told if counter and not facts]
    return near, far


def client_of(name: str) -> tuple[int, int]:
    pid, _, start_time = name.partition(":")
    return int(pid), int(start_time)


def standing_things(grace: bytes, marked: list[bytes], memory: Memory) -> list[tuple[str, str]]:
    """What stands from the first look on: the nonce of a grace, marks on leases. A mark of another
    ``memory`` is another one: its holder was told of it later."""
    seen = [(MARK + text(token), str(memory)) for token in marked]
    return [*seen, (GRACE, text(grace))] if grace else seen
