"""The requests of one session on a Redis: asked, granted, given back.

Each has a number of this session's own. While its answer is not known it is asked again under that
number, which is the same request; once it is over, the number is finished and never asked with
again, so that a copy that was long on its way is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, assert_never

from volumelease.authorities.answers import SessionOver
from volumelease.clock import Clock
from volumelease.core.conflicts import overlaps
from volumelease.core.liveness import Timing
from volumelease.effects import Steps
from volumelease.errors import AuthorityUnreachable, LeaseError
from volumelease.model import (
    Acquire,
    Answer,
    Busy,
    Cancel,
    Claim,
    Deadlocked,
    Discard,
    Downgrade,
    Ended,
    GiveBack,
    Granted,
    Holder,
    Inspect,
    Lost,
    Prepare,
    Publish,
    Question,
    Release,
    Waiting,
)
from volumelease.wire.tellings import About, encode_about

from .calling import Argument, Calls, Reply, raw, text
from .picture import holders_of
from .tokens import name_of, token_of

_FIELDS: Final = 9
"""Of one request in a ``reclaim``."""


class Mine:
    """A request of this session that somebody in this process waits for or uses."""

    __slots__ = ("acquire", "ahead", "asked", "exclusive", "granted", "lost", "number", "token")

    def __init__(self, number: int, acquire: Acquire, token: int, asked: str) -> None:
        self.number = number
        self.acquire = acquire
        self.token = token
        self.exclusive = acquire.exclusive
        self.asked = asked
        self.granted = ""
        """When, by somebody's wall clock; "" while it waits."""
        self.lost = ""
        self.ahead: tuple[Holder, ...] = ()


class Requests:
    """What this session asked for and still wants.

    Promise: a request that was granted and that nobody waits for is given back. ``wanted`` holds
    the tokens that somebody in this process waits for or uses.
    """

    def __init__(
        self,
        calls: Calls,
        clock: Clock,
        timing: Timing,
        loss: Callable[[], str],
        wake: Callable[[int | None], None],
        publish: Callable[[Prepare | Publish | Discard], Steps[Answer]],
    ) -> None:
        self.wanted: dict[int, Mine] = {}
        self.unwanted: dict[int, None] = {}
        """Numbers of requests that may be there and are to be given back."""
        self._flights: dict[int, bool] = {}  # numbers being asked with: is it still wanted?
        self._asking: dict[int, int] = {}  # id of each question under way: its number
        self._next = 1
        self._calls = calls
        self._clock = clock
        self._timing = timing
        self._session_loss = loss
        self._wake = wake
        self._publish = publish

    # ---- how things stand here

    @property
    def floor(self) -> int:
        """The least number that may still be asked with."""
        return min(self._flights, default=self._next)

    @property
    def quiet(self) -> bool:
        """Whether nothing is being asked or given back, so that both sides can be compared."""
        return not self._flights and not self.unwanted

    def known(self) -> list[Mine]:
        """What both sides should know of, oldest first."""
        return [mine for mine in self.wanted.values() if not mine.lost]

    def waiting(self) -> list[Mine]:
        """What is not granted yet, oldest first."""
        return [mine for mine in self.wanted.values() if not mine.granted and not mine.lost]

    def loss_of(self, token: int) -> str:
        """Why the lease of ``token`` can no longer be assumed, or ""."""
        loss = self._session_loss()
        if loss:
            return loss
        mine = self.wanted.get(token)
        return "the lease was broken" if mine is None else mine.lost

    def still_waits(self, token: int) -> bool:
        mine = self.wanted.get(token)
        return mine is not None and not mine.granted and not mine.lost

    def who_holds(self, claim: Claim) -> Holder | None:
        """The oldest lease in the way of ``claim``, as far as this session was told."""
        for mine in self.wanted.values():
            if any(overlaps(own.key, claim.key) for own in mine.acquire.claims):
                for holder in mine.ahead:
                    if holder.granted:
                        return holder
        return None

    # ---- news

    def granted(self, token: int) -> None:
        """The server granted it."""
        mine = self.wanted.get(token)
        if mine is not None and not mine.granted:
            mine.granted = f"{self._clock.wall():.3f}"
            self._wake(token)

    def lose(self, mine: Mine, reason: str) -> None:
        """It is gone, or to be taken for gone, while its session lives on."""
        if not mine.lost:
            mine.lost = reason
            self._wake(mine.token)

    def granted_by(self, names: list[bytes]) -> None:
        """What else of ours one of our calls let go ahead."""
        for name in names:
            self.granted(token_of(name))

    # ---- questions

    def ask(self, question: Question) -> Steps[Answer]:
        """Answer one question. Errors: those of ``Calls.once``, but a session that is lost
        answers ``Lost``."""
        try:
            match question:
                case Acquire():
                    return (yield from self._acquire(question))
                case Release(token) | Cancel(token):
                    return (yield from self._let_go(token))
                case Inspect(token):
                    return (yield from self._inspect(token))
                case Downgrade(token):
                    return (yield from self._downgrade(token))
                case GiveBack(acquire):
                    self.give_up(acquire)
                    yield from self.give_back_unwanted()
                    return Ended()
                case Prepare() | Publish() | Discard():
                    return (yield from self._publish(question))
                case other:
                    assert_never(other)
        except SessionOver as error:
            return Lost(self._session_loss() or str(error))
        except AuthorityUnreachable:
            if loss := self._session_loss():
                return Lost(loss)
            raise

    def give_up(self, acquire: Acquire) -> None:
        """Nobody waits for the answer to ``acquire`` any more, whether it was answered while its
        caller was being interrupted, or is on its way."""
        number = self._asking.get(id(acquire))
        if number is not None:
            self._flights[number] = False
        for mine in [mine for mine in self.wanted.values() if mine.acquire is acquire]:
            del self.wanted[mine.token]
            self.unwanted[mine.number] = None

    def give_back_unwanted(self) -> Steps[None]:
        """Cancel what may be there and nobody waits for. Errors: as ``Calls.once``."""
        for number in list(self.unwanted):
            yield from self._cancel(number, 0.0)

    def _acquire(self, question: Acquire) -> Steps[Answer]:
        while True:
            number, self._next = self._next, self._next + 1
            self._flights[number] = True
            self._asking[id(question)] = number
            try:
                answer = yield from self._ask_as(number, question)
            except SessionOver:
                raise
            except BaseException:
                self.unwanted[number] = None  # nobody knows whether it is there
                raise
            finally:
                del self._flights[number], self._asking[id(question)]
            if answer is not None:
                return answer

    def _ask_as(self, number: int, question: Acquire) -> Steps[Answer | None]:
        """The answer to that request; None if its number is finished, because it was refused, or
        ended by somebody, while its answer was lost."""
        wall = f"{self._clock.wall():.3f}"
        if loss := self._session_loss():
            return Lost(loss)
        reply = yield from self._calls.insist(
            lambda: self._flights[number] and not self._session_loss(),
            math.inf,
            "acquire",
            *self._arguments(number, question),
        )
        match reply.word:
            case "finished":
                return None
            case "busy":
                return Busy(holders_of(reply.rest[0]))
            case "deadlocked":
                cycle = tuple(token_of(name) for name in reply.rest[0])
                return Deadlocked(cycle, holders_of(reply.rest[1]))
        mine = Mine(number, question, token_of(reply.rest[0]), wall)
        # Who had to wait knows that somebody was there in between.
        told = mine.token
        if reply.word == "granted":
            mine.granted = wall
        else:
            told += 1
        self._calls.last = max(self._calls.last, told)
        if not self._flights[number]:
            self.unwanted[number] = None
        else:
            self.wanted[mine.token] = mine
        return self._told(mine, reply)

    def _arguments(self, number: int, question: Acquire) -> tuple[Argument, ...]:
        client = question.client
        return (
            number,
            int(question.wait),
            int(question.exclusive),
            raw(question.owner),
            b"\0".join(raw(claim.key) for claim in question.claims),
            encode_about(About(question.claims, client, question.reason)),
            "" if client is None else f"{client.pid}:{client.start_time}",
        )

    def _told(self, mine: Mine, reply: Reply) -> Answer:
        """Note what the server says about a request."""
        match reply.word:
            case "granted":
                mine.exclusive = reply.rest[1] == b"1"
                if not mine.granted:
                    mine.granted = f"{self._clock.wall():.3f}"
            case "waiting":
                mine.ahead = holders_of(reply.rest[1])
            case "breaking":
                mine.lost = mine.lost or breaking_words(text(reply.rest[1]))
            case "finished" | "void":
                mine.lost = mine.lost or "the lease was broken"
            case word:
                raise AssertionError(f"{word} is no standing")
        return self._standing(mine.token)

    def _standing(self, token: int) -> Answer:
        loss = self._session_loss()
        if loss:
            return Lost(loss)
        mine = self.wanted.get(token)
        if mine is None:
            return Lost("the lease was broken", broken=True)
        if mine.lost:
            return Lost(mine.lost, broken=True)
        if mine.granted:
            return Granted(token, mine.exclusive)
        return Waiting(token, mine.ahead)

    def _inspect(self, token: int) -> Steps[Answer]:
        """How it stands; who waits is told who is ahead by now, if the server answers."""
        if self.still_waits(token):
            mine = self.wanted[token]
            try:
                reply = yield from self._calls.once(
                    "acquire", *self._arguments(mine.number, mine.acquire)
                )
                self._told(mine, reply)
            except SessionOver:
                raise
            except LeaseError:
                pass
        answer = self._standing(token)
        if isinstance(answer, Lost) and answer.broken:
            # Broken before its user had it: it must not stand in its owner's own way.
            yield from self._let_go(token)
        return answer

    def _let_go(self, token: int) -> Steps[Answer]:
        mine = self.wanted.pop(token, None)
        if mine is not None:
            self.unwanted[mine.number] = None  # from now on a beat gives it back too
        if loss := self._session_loss():
            return Lost(loss)
        if mine is not None:
            yield from self._cancel(mine.number, self._timing.beat_interval)
        else:  # given up before: then it is among the unwanted, if it is anywhere
            yield from self.give_back_unwanted()
        return Ended()

    def _cancel(self, number: int, seconds: float) -> Steps[None]:
        reply = yield from self._calls.insist(
            lambda: not self._session_loss(), seconds, "release", number, self.floor, 1
        )
        self.unwanted.pop(number, None)
        if reply.word == "released":
            self._calls.last = max(self._calls.last, token_of(reply.rest[1]))
        self.granted_by(reply.rest[0])

    def _downgrade(self, token: int) -> Steps[Answer]:
        mine = self.wanted.get(token)
        if mine is not None and mine.granted and not mine.lost:
            # From now on nobody counts on more, and others may have been let in: after a server
            # forgot, this one must not name it as exclusive.
            mine.exclusive = False
            reply = yield from self._calls.insist(
                lambda: not self._session_loss(),
                self._timing.beat_interval,
                "downgrade",
                mine.number,
            )
            self._told(mine, reply)
            if reply.word == "granted":
                self.granted_by(reply.rest[2])
        return self._standing(token)

    # ---- after the server forgot

    def named(self, done: set[int]) -> list[Mine]:
        """What is still to be named to a new incarnation."""
        return [mine for mine in self.known() if mine.number not in done]

    def reclaiming(self, some: list[Mine]) -> Iterator[Argument]:
        """The arguments of ``reclaim`` for these."""
        for mine in some:
            number, _, exclusive, owner, keys, about, client = self._arguments(
                mine.number, mine.acquire._replace(exclusive=mine.exclusive)
            )
            yield from (number, name_of(mine.token), exclusive, mine.granted, owner, keys, about)
            yield from (mine.asked, client)

    # ---- comparing with the server

    def compare(self, before: list[Mine], told: list[list[Any]]) -> None:
        """What the server says it has of this session, against what this one knew before it
        asked."""
        there = {int(one[0]): one for one in told}
        for mine in before:
            if self.wanted.get(mine.token) is not mine:
                continue  # let go meanwhile
            one = there.get(mine.number)
            if one is None:
                self.lose(mine, "the lease was broken")
            elif one[4]:
                self.lose(mine, breaking_words(text(one[4])))
            elif one[2]:
                self.granted(mine.token)
        ours = {mine.number for mine in self.wanted.values()}
        for number in there:
            if number not in ours and number not in self._flights:
                self.unwanted[number] = None


def breaking_words(by: str) -> str:
    return f"the lease is being broken{by}"
