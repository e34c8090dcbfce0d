"""The Redis bell: a channel for each volume, on which whoever commits a grant names the sessions
that got it.

Promise: nobody ever waits for Redis. Everything happens in two daemon threads with short
timeouts, and starts when it is first needed; while the connection is away, polling and the other
bells serve. Limits: a message that is lost costs its waiter one poll interval; anybody who can
publish there can make waiters look in vain, and no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from .daemons import started
from .ears import Ear

ANSWER_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 2.0
"""A subscription that heard nothing for so long asks whether anybody is there."""

FIRST_BACK_OFF_SECONDS: Final = 0.1
LAST_BACK_OFF_SECONDS: Final = 5.0
START_SECONDS: Final = 0.05
"""Importing redis-py takes a tenth of a second of the interpreter: not while a session opens."""

_AWAITED: Final = "+"
"""Before the name of a session that is waited for, and that was granted nothing."""

MOST_NAMES: Final = 64
"""Sessions named in one message."""


class Wire(Protocol):
    """The way to one Redis."""

    def connect(self) -> Any:
        """A client of redis-py; it connects with its first command."""

    def close(self, client: Any) -> None:
        """Let go of it, whatever state it is in. Never fails."""


def channel_of(volume: str) -> str:
    return f"volumelease:{{{volume}}}:bell"


class RedisBell:
    """The Redis bell of one session."""

    def __init__(self, wire: Wire, volume: str, session: str, ear: Ear) -> None:
        self._wire = wire
        self._channel = channel_of(volume)
        self._session = session
        self._ear = ear
        self._pending: set[str] = set()
        self._work = threading.Event()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._subscribed = False
        self._listening = False
        self.on_change: Callable[[bool, str], None] = lambda up, why: None
        """Told when the subscription comes and goes, and why; in its thread."""
        self.on_awaited: Callable[[], None] = lambda: None
        """Told when another session waits behind this one; in the same thread."""

    # ---- ringing

    def start(self) -> None:
        started("volumelease-publish", self._serve)

    def ring(self, sessions: frozenset[str]) -> None:
        if sessions:
            with self._lock:
                self._pending |= sessions
            self._work.set()

    def announce(self, sessions: frozenset[str]) -> None:
        """Tell those who listen that this session waits behind them."""
        self.ring(frozenset(_AWAITED + session for session in sessions))

    def close(self) -> None:
        self._closed.set()
        self._work.set()

    def _serve(self) -> None:
        """Publish what is pending. What could not be said at once is not said later."""
        back_off = FIRST_BACK_OFF_SECONDS
        client: Any = None
        self._closed.wait(START_SECONDS)
        while not self._closed.is_set():
            try:
                if client is None:
                    client = self._wire.connect()
                    client.ping()
                self._work.wait()
                self._work.clear()
                with self._lock:
                    names, self._pending = sorted(self._pending), set()
                for first in range(0, len(names), MOST_NAMES):
                    client.publish(self._channel, " ".join(names[first : first + MOST_NAMES]))
                back_off = FIRST_BACK_OFF_SECONDS
            except Exception:  # noqa: BLE001 - whatever it is, it must cost no more than this ring
                self._close(client)
                client = None
                self._closed.wait(back_off)
                back_off = min(2 * back_off, LAST_BACK_OFF_SECONDS)
                with self._lock:
                    self._pending.clear()
        self._close(client)

    # ---- listening

    def arm(self) -> None:
        """Subscribe, from the first time on that this session waits."""
        if not self._listening:
            self._listening = started("volumelease-hear", self._listen)

    @property
    def armed(self) -> bool:
        """Whether the subscription is believed to work."""
        return self._subscribed

    def _listen(self) -> None:
        back_off = FIRST_BACK_OFF_SECONDS
        while not self._closed.is_set():
            client: Any = None
            why = "the session ended"
            try:
                client = self._wire.connect()
                subscription = client.pubsub()
                subscription.subscribe(self._channel)
                self._hear_all(subscription)
                back_off = FIRST_BACK_OFF_SECONDS
            except Exception as error:  # noqa: BLE001 - the bell is away, and comes back
                why = type(error).__name__  # its text may hold the address, and that a password
            was, self._subscribed = self._subscribed, False
            self._close(client)
            if was:
                back_off = FIRST_BACK_OFF_SECONDS
                self._ear.nudge()  # look sooner again
                self.on_change(False, why)
            self._closed.wait(back_off)
            back_off = min(2 * back_off, LAST_BACK_OFF_SECONDS)

    def _hear_all(self, subscription: Any) -> None:
        """Until the session ends. Errors: what redis-py raises, ``TimeoutError`` for silence."""
        heard_at = time.monotonic()
        asked = False
        while not self._closed.is_set():
            message = subscription.get_message(timeout=ANSWER_SECONDS)
            now = time.monotonic()
            if message is not None:
                heard_at, asked = now, False
                self._hear(message)
            elif asked and now - heard_at > QUIET_SECONDS + ANSWER_SECONDS:
                raise TimeoutError("the subscription is silent")
            elif not asked and now - heard_at > QUIET_SECONDS:
                asked = True
                subscription.ping()

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._subscribed = True
            self._ear.hear()  # a grant may have been rung for before anybody listened
            self.on_change(True, "")
        elif message["type"] == "message":
            data = message["data"]
            text = data.decode(errors="replace") if isinstance(data, bytes) else str(data)
            names = text.split(" ")
            if self._session in names:
                self._ear.hear()
            if _AWAITED + self._session in names:
                self.on_awaited()

    def _close(self, client: Any) -> None:
        if client is not None:
            self._wire.close(client)
