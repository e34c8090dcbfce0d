"""The requests of one session: asked, granted, given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from volumelease.authorities import answers
from volumelease.authorities.answers import SessionOver
from volumelease.core import records
from volumelease.effects import Steps
from volumelease.errors import LeaseError, VolumeFull, VolumeUnsuitable
from volumelease.model import (
    Acquire,
    Answer,
    Cancel,
    Discard,
    Downgrade,
    Ended,
    GiveBack,
    Granted,
    Inspect,
    Lost,
    Prepare,
    Publish,
    Question,
    Release,
)

from .committer import Committed, Committer
from .publishing import Publishing
from .replica import Replica


class Requests:
    """What this session asked for and still wants.

    Promise: a request that landed and that nobody waits for is given back. ``wanted`` holds the
    tokens somebody in this process waits for or uses, and what each was asked with.
    """

    def __init__(
        self,
        name: str,
        replica: Replica,
        committer: Committer,
        publishing: Publishing,
        loss: Callable[[], str],
    ) -> None:
        self.wanted: dict[int, Acquire] = {}
        self._breakers: dict[int, str] = {}  # by the token of a lease that is not let go yet
        self._leaving: dict[int, bool] = {}
        """Tokens that their users are letting go right now: did a beat find them so before?"""
        self._asking: dict[int, bool] = {}  # id of each question under way: is it still wanted?
        self._name = name
        self._replica = replica
        self._committer = committer
        self._publishing = publishing
        self._session_loss = loss

    def waiting(self) -> list[int]:
        """Wanted tokens that are not granted yet."""
        holdings = self._replica.table.holdings
        return [t for t in self.wanted if t in holdings and not holdings[t].granted]

    def take_over(self) -> None:
        """Want what a predecessor of this session asked for: its users may still be there."""
        for token in self._replica.table.tokens_of(self._name):
            held = self._replica.table.holdings[token]
            self.wanted[token] = Acquire(
                held.claims, held.exclusive, held.owner, True, held.reason, held.client
            )

    def loss_of(self, token: int) -> str:
        """Why the lease of ``token`` can no longer be assumed, or ""."""
        loss = self._session_loss()
        if loss:
            return loss
        by = self._breakers.get(token, "")
        return answers.loss_of(self._replica.table, self._name, token, by)

    def note_breaker(self, token: int, by: str) -> None:
        """Somebody breaks a lease of this session; whoever uses it will want to know who."""
        if token in self.wanted:
            self._breakers[token] = by

    def ask(self, question: Question) -> Steps[Answer]:
        """Answer one question. Errors: those of ``Committer.commit``, but a session that is
        lost answers ``Lost``."""
        try:  # the most frequent first, and no generator more than they need
            match question:
                case Acquire():
                    return (yield from self._acquire(question))
                case Release(token):
                    return (yield from self._let_go(records.Release(token), token))
                case Cancel(token):
                    return (yield from self._let_go(records.Cancel(token), token))
                case Inspect(token):
                    return (yield from self._usable(token))
                case other:
                    return (yield from self._answer(other))
        except SessionOver:
            return Lost(self._session_loss() or "the session is over")

    def _answer(
        self, question: Downgrade | GiveBack | Prepare | Publish | Discard
    ) -> Steps[Answer]:
        match question:
            case Downgrade(token):
                return (yield from self._downgrade(token))
            case GiveBack(acquire):
                self.give_up(acquire)
                yield from self._replica.catch_up()
                yield from self.give_back_unwanted()
                return Ended()
            case Prepare(token):
                loss = self.loss_of(token)
                return (
                    Lost(loss) if loss else (yield from self._publishing.drafts.prepare(question))
                )
            case Publish(draft):
                return (yield from self._publishing.publish(draft))
            case Discard(draft, back_to):
                yield from self._publishing.discard(draft, back_to)
                return Ended()
            case other:
                assert_never(other)

    def _usable(self, token: int) -> Steps[Answer]:
        """How a request stands; a lease is granted to its user only when everything that was
        decided under its paths is visible."""
        standing = self._standing(token)
        if isinstance(standing, Lost) and not self._session_loss():
            # Broken before its user had it: still in the table, it would stand in its owner's way.
            yield from self._let_go(records.Cancel(token), token)
        if not isinstance(standing, Granted):
            return standing
        table = self._replica.table
        if not table.pending:
            return standing
        yield from self._publishing.settle(table.holdings[token].keys)
        return self._standing(token)

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
        body = answers.request_of(question)
        try:
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
                return self._refused(question, done)
            if self._asking[id(question)]:
                self.wanted[done.at] = question
            return (yield from self._usable(done.at))
        finally:
            del self._asking[id(question)]

    def _refused(self, question: Acquire, done: Committed) -> Answer:
        loss = self._session_loss()
        if loss:
            return Lost(loss)
        cycle = done.outcome.cycle if done.outcome is not None else ()
        return answers.deadlocked(self._replica.table, question, cycle)

    def _let_go(self, body: records.Cancel | records.Release, token: int) -> Steps[Answer]:
        self.wanted.pop(token, None)  # from now on it is unwanted: a beat gives it back too
        self._breakers.pop(token, None)
        self._leaving[token] = False
        try:
            done = yield from self._end(body, token)
        finally:
            self._leaving.pop(token, None)
        loss = self._session_loss() if done is None else ""
        return Lost(loss) if loss else Ended()

    def _end(self, body: records.Cancel | records.Release, token: int) -> Steps[Committed | None]:
        """Let go, once everything that was published under the lease is visible. A publish whose
        outcome is unknown is known by then: it landed before this record, or is void.

        A session that may not make it visible lets go all the same: the next one does it.
        """
        impossible = False

        def decide() -> records.Cancel | records.Release | None:
            open_publish = self._publishing.unapplied(token) and not impossible
            return body if token in self._replica.table.holdings and not open_publish else None

        while True:
            try:
                if self._replica.table.pending:
                    yield from self._publishing.settle_token(token)
            except (VolumeFull, VolumeUnsuitable):
                impossible = True
            done = yield from self._committer.commit(decide, urgent=True)
            if done is not None or impossible or not self._publishing.unapplied(token):
                return done

    def _downgrade(self, token: int) -> Steps[Answer]:
        def decide() -> records.Downgrade | None:
            holding = self._replica.table.holding_of(self._name, token)
            return records.Downgrade(token) if holding and holding.exclusive else None

        yield from self._committer.commit(decide, urgent=True)
        return self._standing(token)

    def give_back_unwanted(self) -> Steps[None]:
        """Cancel requests of ours that landed after whoever asked had given up."""
        mine = set(self._replica.table.tokens_of(self._name))
        trouble: LeaseError | None = None
        for token in sorted(mine - self.wanted.keys() - self._committer.unclaimed()):
            if self._leaving.get(token) is False:
                self._leaving[token] = True  # it only hurried ahead; but its call may hang
                continue
            try:
                yield from self._end(records.Cancel(token), token)
            except SessionOver:
                raise
            except LeaseError as error:  # of one path; the others must not wait for it
                trouble = error.with_traceback(None)
        if trouble is not None:
            raise trouble
