"""Which daemon is there, and the connections on which it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from volumelease.client.connecting import HungUp, Line, Lines, connect
from volumelease.errors import DaemonUnavailable, LeaseError
from volumelease.wire.questions import encode_token

from .belongings import Belongings

_AGAIN_SECONDS: Final = 1.0
_AWAY_SECONDS: Final = 30.0
"""More than a daemon needs from going on with a session to letting clients in."""


class Presence:
    """The daemon that has a session, or its successor. Thread-safe. ``loss``: why that session can
    be assumed no more, or ""."""

    def __init__(self, path: str, loss: Callable[[], str]) -> None:
        self.lines = Lines(path)
        self.events: Line | None = None
        """Where events are heard."""
        self._loss = loss
        self._instance = ""
        self._news = threading.Condition()  # who finds the loss while it waits here, tells it here

    def arrived(self, line: Line) -> None:
        """It is the one at the other end of ``line``, where events are heard from now on."""
        with self._news:
            self.events = line
            self._instance = str(line.welcome.get("daemon", ""))
            self._news.notify_all()

    def gone(self) -> None:
        """Nobody is there until one arrives."""
        with self._news:
            self._instance = ""

    def look_up(self) -> None:
        """Whoever waits for one is to see whether there is still reason to."""
        with self._news:
            self._news.notify_all()

    def leave(self) -> None:
        """Of a session that is over nothing is left to be said, nor heard."""
        self.lines.end()
        events = self.events
        if events is not None:
            events.hang_up()

    def ask(self, do: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Errors: ``HungUp`` once a daemon is back, or the session lost; what it answers."""
        return self.lines.ask(self._take_line(), do, fields)

    def _take_line(self) -> Line:
        """A connection to the daemon that has the session, once there is one."""
        while True:
            with self._news:
                while not self._instance:
                    if loss := self._loss():
                        raise HungUp(loss)
                    self._news.wait(0.1)
                instance = self._instance
            try:
                line = self.lines.take()
            except DaemonUnavailable:
                if self._instance == instance:
                    raise
                continue
            if str(line.welcome.get("daemon", "")) == instance:
                return line
            line.close()  # of another daemon: the listener will find out
            threading.Event().wait(0.01)
            if loss := self._loss():
                raise HungUp(loss)

    def say_again(self, do: str, fields: dict[str, Any]) -> None:
        """What the daemon may not have heard, until one heard it or the session is lost: what is
        let go and nobody knows of it is held for as long as this process lives."""
        while not self._loss():
            threading.Event().wait(_AGAIN_SECONDS)
            with suppress(LeaseError, HungUp):
                self.ask(do, fields)
                return


def let_lapse(
    path: str, about: dict[str, Any], mine: Belongings, seconds: float, ttl: float
) -> None:
    """Give back, after ``seconds``, what this process had by a view of a session that it lost.

    The session may live on, and this process with another view of it: then nobody else ever would.
    And a process that has no connection any more has left: what it had would be somebody else's at
    once, while whoever used it has that long to end.

    Again and again, until the daemon answered for each, if only that the session is over; or none
    was there for so long that nobody can have gone on with it. Limit: a daemon that lives and lets
    nobody in for as long keeps them until this process ends.
    """
    if not mine.held | mine.waiting:
        return
    heard: set[int] = set()
    line = _line_to(path)
    seen_at = time.monotonic()
    threading.Event().wait(seconds)
    while True:
        if line is not None:
            with line:
                _cancel_all(line, about, mine, heard)
            seen_at = time.monotonic()
        if (
            not (mine.held | mine.waiting) - heard
            or time.monotonic() - seen_at > ttl + _AWAY_SECONDS
        ):
            return
        threading.Event().wait(_AGAIN_SECONDS)
        line = _line_to(path)


def _line_to(path: str) -> Line | None:
    with suppress(LeaseError, HungUp, OSError):
        return connect(path, events=False, seconds=0.0)
    return None


def _cancel_all(line: Line, about: dict[str, Any], mine: Belongings, heard: set[int]) -> None:
    """As far as the connection carries it."""
    for token in (mine.held | mine.waiting) - heard:
        try:
            line.ask("cancel", {**about, "token": encode_token(token)})
        except (DaemonUnavailable, HungUp, OSError):
            return
        except LeaseError:
            pass  # of this one; the daemon knows now that nobody wants it
        heard.add(token)
