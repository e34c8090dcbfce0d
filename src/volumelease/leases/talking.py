"""What a lease needs of the session behind it, and how one operation talks to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from volumelease.clock import Clock
from volumelease.drivers.threads import Abandoned, Errand, WaitingRoom
from volumelease.model import Acquire, Answer, Question
from volumelease.tallies import Tally

from .losses import Rest

Listener = Callable[[], Rest | None]
"""Is told that a lease may have been lost. Does at once what can't wait, and returns the rest."""


class Hosted(Protocol):
    """A session of this process with whatever runs it. Thread-safe; only ``ask`` may block."""

    pid: int
    """The process whose session it is: a forked child owns nothing."""

    tally: Tally
    """What this process counts about the volume."""

    @property
    def room(self) -> WaitingRoom: ...

    @property
    def over(self) -> bool:
        """Whether a new session must take its place: it was lost, or is another process's."""

    def ask(self, question: Question) -> Answer: ...

    def still_waits(self, token: int) -> bool:
        """Whether that request is still queued and nothing else is to be said about it."""

    def give_up(self, question: Acquire) -> None:
        """Nobody waits for the answer any more: what it got or gets is to be given back, at the
        next beat if nobody does it before."""

    def notice(self, text: str) -> None: ...

    def loss_of(self, token: int) -> str:
        """Why the lease can no longer be assumed, or ""."""

    def remaining_seconds(self) -> float: ...

    def last_seconds(self) -> float:
        """How long after the loss a process may still run before another session takes over."""

    def on_change(self, listener: Listener) -> Callable[[], None]: ...


class Conversation:
    """One operation's view of the session: what a driver asks and waits with, in a thread or on
    an event loop. The session may be found on the way (``join``).

    ``errand`` when it runs in a thread for a caller who may give up on it.
    """

    __slots__ = ("_acquiring", "_clock", "_errand", "_hosted", "_waits_for")

    def __init__(
        self, clock: Clock, errand: Errand | None = None, hosted: Hosted | None = None
    ) -> None:
        self._clock = clock
        self._errand = errand
        self._hosted = hosted
        self._acquiring: Acquire | None = None
        self._waits_for: int | None = None
        if errand is not None:
            errand.nudge = self._nudge

    def join(self, hosted: Hosted) -> None:
        """Talk to that session from now on."""
        self._hosted = hosted

    @property
    def hosted(self) -> Hosted:
        """The session; must have been found."""
        assert self._hosted is not None
        return self._hosted

    def now(self) -> float:
        return self._clock.boottime()

    def ask(self, question: Question) -> Answer:
        if isinstance(question, Acquire):
            self._acquiring = question
            if self._errand is not None and self._errand.abandoned:
                raise Abandoned  # looked at after the question was made, with its owner's name
        return self.hosted.ask(question)

    def wait(self, token: int, seconds: float) -> None:
        """Errors: ``Abandoned`` if the caller gave up."""
        self._waits_for = token
        self.room.wait(token, seconds, self.still_waits)
        if self._errand is not None and self._errand.abandoned:
            raise Abandoned

    @property
    def room(self) -> WaitingRoom:
        return self.hosted.room

    def still_waits(self, token: int) -> bool:
        abandoned = self._errand is not None and self._errand.abandoned
        return not abandoned and self.hosted.still_waits(token)

    def abandon(self) -> None:
        """The caller gave up: the session is to give back what was asked for, even if a call
        that hangs keeps this operation from doing it."""
        if self._acquiring is not None:
            self.hosted.give_up(self._acquiring)

    def _nudge(self) -> None:
        self.abandon()
        if self._waits_for is not None:
            self.room.wake(self._waits_for)

    def notice(self, text: str) -> None:
        self.hosted.notice(text)
