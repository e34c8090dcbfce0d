"""Leases in the memory of one process, with the same table as the real authorities.

For tests of users and of this project. Promise: the same answers as the volume gives. Limit: it
excludes nobody outside this process and forgets everything at its end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import assert_never

from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.records import Body, Entry, SessionFacts
from volumelease.core.table import Outcome, Table
from volumelease.errors import LeaseError
from volumelease.host import ProcessFacts
from volumelease.model import (
    Acquire,
    Answer,
    Cancel,
    Discard,
    Downgrade,
    Ended,
    GiveBack,
    Inspect,
    Lost,
    Prepare,
    Publish,
    Question,
    Release,
)

from . import answers


class MemoryAuthority:
    """One table that all its sessions share. Not thread-safe by itself: run it under one lock."""

    def __init__(self, clock: Clock) -> None:
        self.table = Table(grace=False)
        self.tell: Callable[[Outcome], None] = lambda _: None
        """Called with what each commit granted and ended."""
        self._clock = clock
        self._indexes = itertools.count()
        self._names = itertools.count(1)

    def open(self, facts: SessionFacts | None = None) -> MemorySession:
        session = MemorySession(self, f"memory{next(self._names)}")
        nobody = SessionFacts(ProcessFacts("", "", 0, 0, 0))
        session.commit(records.Open(facts or nobody))
        return session

    def expire(self, session: MemorySession) -> None:
        """End a session from outside, as its ttl would."""
        self.commit(session.name, records.Expire(session.name))

    def commit(self, author: str, body: Body) -> tuple[int, Outcome]:
        index = next(self._indexes)
        entry = Entry(author, index, round(self._clock.wall(), 3), body)
        outcome = self.table.apply(index, entry)
        self.tell(outcome)
        return index, outcome


class MemorySession:
    """A session of a ``MemoryAuthority``. It has no ttl: it ends when somebody ends it."""

    def __init__(self, authority: MemoryAuthority, name: str) -> None:
        self.name = name
        self._authority = authority
        self._asked: dict[int, Acquire] = {}

    def commit(self, body: Body) -> tuple[int, Outcome]:
        return self._authority.commit(self.name, body)

    def alive(self) -> bool:
        return self.name in self._authority.table.sessions

    def loss_of(self, token: int) -> str:
        """Why the lease of ``token`` can no longer be assumed, or ""."""
        if not self.alive():
            return "the session was ended"
        return answers.loss_of(self._authority.table, self.name, token)

    def close(self) -> None:
        self.commit(records.Close())

    def ask(self, question: Question) -> Answer:
        if not self.alive():
            return Lost("the session was ended")
        table = self._authority.table
        match question:
            case Acquire():
                return self._acquire(question)
            case Inspect(token):
                return answers.standing(table, self.name, token)
            case Cancel(token):
                self.commit(records.Cancel(self._forget(token)))
                return Ended()
            case Release(token):
                self.commit(records.Release(self._forget(token)))
                return Ended()
            case Downgrade(token):
                self.commit(records.Downgrade(token))
                return answers.standing(table, self.name, token)
            case GiveBack(acquire):
                for token in [token for token, asked in self._asked.items() if asked is acquire]:
                    self.commit(records.Cancel(self._forget(token)))
                return Ended()
            case Prepare() | Publish() | Discard():
                raise LeaseError(
                    "a lease in memory has no volume to publish on",
                    advice="Use a directory made a volume: volumelease init DIR",
                )
            case other:
                assert_never(other)

    def _acquire(self, question: Acquire) -> Answer:
        table = self._authority.table
        if not question.wait and not answers.at_once(table, question):
            return answers.busy(table, question)
        index, outcome = self.commit(answers.request_of(question))
        if outcome.cycle:
            return answers.deadlocked(table, question, outcome.cycle)
        self._asked[index] = question
        return answers.standing(table, self.name, index)

    def _forget(self, token: int) -> int:
        self._asked.pop(token, None)
        return token
