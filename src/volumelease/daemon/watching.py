"""How a desk hears that something about one request changed, and tells its client."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from volumelease.drivers.crew import Job
from volumelease.model import Lost

if TYPE_CHECKING:
    from .clients import Held, User
    from .desk import Desk


class Watch:
    """Set by the session's threads whenever something about one request changed."""

    __slots__ = ("_desk", "_latch", "_token", "_user", "_waits")

    def __init__(self, desk: Desk, user: User, token: int) -> None:
        self._desk = desk
        self._user = user
        self._token = token
        self._waits = False
        self._latch = threading.Lock()

    def set(self) -> None:
        """A loss is on the page when this returns, whatever the crews do: the beat that found it
        counts next, and moves the deadline by which a client goes that was not told."""
        try:
            if self._told_if_lost():
                return
        except Exception:  # noqa: BLE001 - it must not end the beat; the look below comes to it
            pass
        if not self._waits:
            self._waits = True
            self._desk.crews.aside.keep(Job(self._look))

    def _look(self) -> None:
        self._waits = False
        try:
            self._news()
        except Exception:  # noqa: BLE001 - nothing will change again, so this is looked at again
            self._desk.unheard.append(self)

    @property
    def _held(self) -> Held | None:
        return self._user.held.get((self._desk.volume, self._token))

    def _news(self) -> None:
        """See what changed, and tell the client. Errors: those of ``Desk.ask``, and then it is
        told nothing yet."""
        held = self._held
        if held is None or self._told_if_lost() or held.granted:
            return
        answer = self._desk.settled_after_wait(self._user, held, self._token)
        if isinstance(answer, Lost):
            self._lose(held, answer.reason)

    def _told_if_lost(self) -> bool:
        """Say so if it is lost. For any thread, also one that holds the session's lock: this asks
        nobody, and never blocks."""
        held = self._held
        if held is not None and not held.lost and (loss := self._desk.hosted.loss_of(self._token)):
            self._lose(held, loss)
        return held is None or bool(held.lost)

    def _lose(self, held: Held, loss: str) -> None:
        desk = self._desk
        with self._latch:
            if held.lost:
                return
            # First: whoever does not read events looks there, and who finds it told already (the
            # beat, which moves the deadline next) must be able to rely on it.
            desk.alarm()
            held.lost = loss
        desk.show_deadline()
        self._user.tell("lost", desk.event(self._token, reason=loss))
