"""The requests of one session: asked, granted, given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from volumelease.authorities import answers
from volumelease.core import records
from volumelease.effects import Steps
from volumelease.model import (
    Acquire,
    Answer,
    Cancel,
    Downgrade,
    Ended,
    GiveBack,
    Inspect,
    Lost,
    Question,
    Release,
)

from .committer import Committer, SessionOver
from .replica import Replica


class Requests:
    """What this session asked for and still wants.

    Promise: a request that landed and that nobody waits for is given back. ``wanted`` holds the
    tokens somebody in this process waits for or uses, and what each was asked with.
    """

    def __init__(
        self, name: str, replica: Replica, committer: Committer, loss: Callable[[], str]
    ) -> None:
        self.wanted: dict[int, Acquire] = {}
        self._asking: dict[int, bool] = {}  # id of each question under way: is it still wanted?
        self._name = name
        self._replica = replica
        self._committer = committer
        self._session_loss = loss

    def waiting(self) -> list[int]:
        """Wanted tokens that are not granted yet."""
        holdings = self._replica.table.holdings
        return [t for t in self.wanted if t in holdings and not holdings[t].granted]

    def loss_of(self, token: int) -> str:
        """Why the lease of ``token`` can no longer be assumed, or ""."""
        return self._session_loss() or answers.loss_of(self._replica.table, self._name, token)

    def ask(self, question: Question) -> Steps[Answer]:
        """Answer one question. Errors: those of ``Committer.commit``, but a session that is
        lost answers ``Lost``."""
        try:
            return (yield from self._answer(question))
        except SessionOver:
            return Lost(self._session_loss() or "the session is over")

    def _answer(self, question: Question) -> Steps[Answer]:
        match question:
            case Acquire():
                return (yield from self._acquire(question))
            case Inspect(token):
                return self._standing(token)
            case Cancel(token):
                return (yield from self._let_go(records.Cancel(token), token))
            case Release(token):
                return (yield from self._let_go(records.Release(token), token))
            case Downgrade(token):
                return (yield from self._downgrade(token))
            case GiveBack(acquire):
                self.give_up(acquire)
                yield from self._replica.catch_up()
                yield from self.give_back_unwanted()
                return Ended()
            case other:
                assert_never(other)

    def _standing(self, token: int) -> Answer:
        loss = self._session_loss()
        return Lost(loss) if loss else answers.standing(self._replica.table, self._name, token)

    def give_up(self, acquire: Acquire) -> None:
        """Nobody waits for the answer to ``acquire`` any more, whether it was answered while its
        caller was being interrupted, or goes on in a thread that its caller gave up on."""
        if id(acquire) in self._asking:
            self._asking[id(acquire)] = False
        for token in [token for token, asked in self.wanted.items() if asked is acquire]:
            del self.wanted[token]

    def _acquire(self, question: Acquire) -> Steps[Answer]:
        self._asking[id(question)] = True
        try:
            return (yield from self._request(question))
        finally:
            del self._asking[id(question)]

    def _request(self, question: Acquire) -> Steps[Answer]:
        body = answers.request_of(question)
        if not question.wait:
            yield from self._replica.catch_up()

        def decide() -> records.Request | None:
            if question.wait or answers.at_once(self._replica.table, question):
                return body
            return None

        done = yield from self._committer.commit(
            decide, wanted=lambda: self._asking.get(id(question), False)
        )
        if done is None:
            return answers.busy(self._replica.table, question)
        if done.void:
            loss = self._session_loss()
            if loss:
                return Lost(loss)
            cycle = done.outcome.cycle if done.outcome is not None else ()
            return answers.deadlocked(self._replica.table, question, cycle)
        if self._asking[id(question)]:
            self.wanted[done.at] = question
        return self._standing(done.at)

    def _let_go(self, body: records.Cancel | records.Release, token: int) -> Steps[Answer]:
        self.wanted.pop(token, None)  # from now on it is unwanted: a beat gives it back too
        done = yield from self._committer.commit(
            lambda: body if token in self._replica.table.holdings else None, urgent=True
        )
        loss = self._session_loss() if done is None else ""
        return Lost(loss) if loss else Ended()

    def _downgrade(self, token: int) -> Steps[Answer]:
        def decide() -> records.Downgrade | None:
            holding = self._replica.table.holding_of(self._name, token)
            return records.Downgrade(token) if holding and holding.exclusive else None

        yield from self._committer.commit(decide, urgent=True)
        return self._standing(token)

    def give_back_unwanted(self) -> Steps[None]:
        """Cancel requests of ours that landed after whoever asked had given up."""
        mine = set(self._replica.table.tokens_of(self._name))
        for token in sorted(mine - self.wanted.keys() - self._committer.unclaimed()):
            yield from self._committer.commit(self._cancel(token), urgent=True)

    def _cancel(self, token: int) -> Callable[[], records.Cancel | None]:
        return lambda: records.Cancel(token) if token in self._replica.table.holdings else None
