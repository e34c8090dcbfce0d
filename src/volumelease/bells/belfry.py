"""All bells of one session together: rung all, heard all, so that the loss of one costs nothing
where another serves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

from volumelease.effects import Heard

from .bytelocks import ByteBell
from .ears import Ear
from .pubsub import RedisBell

Kind = Literal["redis", "fcntl", "poll"]

TELL_AGAIN_SECONDS: Final = 60.0


class Belfry:
    """A bell as ``effects.Bell``. ``listen`` blocks, in one thread at a time; all else doesn't."""

    def __init__(
        self,
        ear: Ear,
        bytes_: ByteBell | None,
        redis: RedisBell | None,
        report: Callable[[str], None],
    ) -> None:
        self._ear = ear
        self._bytes = bytes_
        self._redis = redis
        self._report = report
        self._told = False
        self._told_of_redis = float("-inf")
        self.on_awaited: Callable[[], None] = lambda: None
        """Told when another session waits behind this one, if a bell can say so. Must not block."""
        self.on_rung: Callable[[Kind], None] = lambda _: None
        """Told when a waiter was woken, and by which bell. Must not block."""
        if redis is not None:
            redis.on_change = self._redis_changed
            redis.on_awaited = self._awaited

    def start(self) -> None:
        for bell in (self._bytes, self._redis):
            if bell is not None:
                bell.start()

    def close(self) -> None:
        for bell in (self._bytes, self._redis):
            if bell is not None:
                bell.close()

    def ring(self, sessions: frozenset[str]) -> None:
        if self._bytes is not None:
            self._bytes.ring()
        if self._redis is not None:
            self._redis.ring(sessions)

    def announce(self, sessions: frozenset[str]) -> None:
        if self._redis is not None:
            self._redis.announce(sessions)

    def nudge(self) -> None:
        self._ear.nudge()

    def up(self) -> dict[Kind, bool]:
        """Which bells would wake this session's waiters now."""
        redis = self._redis is not None and self._redis.armed
        return {"redis": redis, "fcntl": self._bytes is not None, "poll": True}

    def listen(self, ahead: tuple[str, ...], seconds: float) -> Heard:
        if self._redis is not None:
            self._redis.arm()
        if self._bytes is not None:
            self._bytes.arm(ahead)
        rung = self._ear.wait(seconds)
        kind = self.kind(ahead)
        if rung:
            self.on_rung(kind)
        if kind != "poll" and not self._told:
            self._told = True
            self._report(f"waiting for leases with the {kind} bell")
        return Heard(rung, kind != "poll")

    def kind(self, ahead: tuple[str, ...]) -> Kind:
        """The best bell in force for who waits behind those sessions."""
        if self._redis is not None and self._redis.armed:
            return "redis"
        if self._bytes is not None and self._bytes.armed(ahead):
            return "fcntl"
        return "poll"

    def _awaited(self) -> None:
        self.on_awaited()

    def _redis_changed(self, up: bool, why: str) -> None:
        """A Redis that comes and goes all the time is told of once a minute."""
        now = time.monotonic()
        if now - self._told_of_redis < TELL_AGAIN_SECONDS:
            return
        self._told_of_redis = now
        self._report("the redis bell is there" if up else f"the redis bell is away: {why}")
