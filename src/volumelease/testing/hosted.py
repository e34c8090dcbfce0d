"""A session in memory, as leases see it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from volumelease.authorities.memory import MemoryAuthority
from volumelease.clock import Clock
from volumelease.core.records import SessionFacts
from volumelease.core.table import Outcome
from volumelease.drivers.threads import WaitingRoom
from volumelease.leases.talking import Listener
from volumelease.model import Acquire, Answer, Cancel, GiveBack, Inspect, Question, Waiting
from volumelease.tallies import Tally

from .clocks import ManualClock

REMAINING_SECONDS = 12.0
"""What ``lease.remaining`` says on a volume in memory, whose leases have no ttl: what a fresh beat
gives with the default ttl."""


class Memory:
    """One authority that all sessions of a volume in memory share."""

    def __init__(
        self, authority: MemoryAuthority, report: Callable[[str], None], clock: Clock
    ) -> None:
        self.authority = authority
        self.report = report
        self.room = WaitingRoom()
        self.lock = threading.RLock()
        authority.tell = self._tell
        self.manual = clock if isinstance(clock, ManualClock) else None
        if self.manual is not None:
            self.manual.when_advanced(lambda: self.room.wake(None))

    def _tell(self, outcome: Outcome) -> None:
        for token in (*outcome.granted, *outcome.ended):
            self.room.wake(token)


class HostedInMemory:
    """A session of a volume in memory. Thread-safe, never blocks."""

    def __init__(self, memory: Memory, facts: SessionFacts) -> None:
        self.pid = os.getpid()
        self.tally = Tally()
        self._memory = memory
        self._listeners: list[Listener] = []
        self._lost = ""
        self._asked_at: dict[int, float] = {}
        with memory.lock:
            self._session = memory.authority.open(facts)

    @property
    def name(self) -> str:
        return self._session.name

    @property
    def room(self) -> WaitingRoom:
        return self._memory.room

    @property
    def over(self) -> bool:
        """Whether a new session must take its place."""
        return bool(self._lost) or self.pid != os.getpid()

    def ask(self, question: Question) -> Answer:
        """Answer one question."""
        manual = self._memory.manual
        with self._memory.lock:
            before = 0.0 if manual is None else manual.boottime()
            answer = self._session.ask(question)
            if isinstance(answer, Waiting):
                self._asked_at[answer.token] = before
            elif isinstance(question, Inspect | Cancel):
                self._asked_at.pop(question.token, None)
        return answer

    def still_waits(self, token: int) -> bool:
        """Whether that request is still queued, and no time was let pass since it was asked."""
        manual = self._memory.manual
        with self._memory.lock:
            if manual is not None and self._asked_at.get(token) != manual.boottime():
                return False
            holding = self._memory.authority.table.holdings.get(token)
            return not self.over and holding is not None and not holding.granted

    def give_up(self, question: Acquire) -> None:
        """Give back at once what it got: nothing here can hang."""
        self.ask(GiveBack(question))

    def notice(self, text: str) -> None:
        self._memory.report(text)

    def loss_of(self, token: int) -> str:
        """Why the lease can no longer be assumed, or ""."""
        with self._memory.lock:
            return self._lost or self._session.loss_of(token)

    def remaining_seconds(self) -> float:
        return 0.0 if self.over else REMAINING_SECONDS

    def last_seconds(self) -> float:
        """A second, as with the least ttl."""
        return 1.0

    def on_change(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` when the session is lost, in the thread that says so."""
        self._listeners.append(listener)
        if self.over and (rest := listener()):
            rest()

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def lose(self, reason: str) -> None:
        """End it from outside, as its ttl would."""
        with self._memory.lock:
            self._lost = reason
            self._memory.authority.expire(self._session)
        self.room.wake(None)
        rests = [listener() for listener in list(self._listeners)]
        for rest in rests:
            if rest is not None:
                rest()

    def close(self) -> None:
        """End it; nobody is told of a loss."""
        self._listeners.clear()
        with self._memory.lock:
            if not self.over:
                self._lost = "the session was closed"
                self._session.close()
        self.room.wake(None)
