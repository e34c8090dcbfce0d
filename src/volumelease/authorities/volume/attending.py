"""What a session does while requests of it wait: it reads the log, watches who is ahead, and
listens for the bell in between.

A waiter costs the server less than 50 operations a second, whatever the queue and the bell are:
without a bell it reads the log every 26 ms; with one it soon looks only twice a second, because
whoever grants rings. A ring that is lost costs that half second and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from volumelease.authorities.answers import SessionOver
from volumelease.clock import Clock
from volumelease.core.liveness import Timing
from volumelease.effects import Bell, Heard, Listen, Sleep, Steps
from volumelease.errors import LeaseError, LogDamaged

from .membership import Membership
from .replica import Replica
from .requests import Requests

FIRST_POLL_SECONDS: Final = 0.002
POLL_SECONDS: Final = 0.026
ARMED_POLL_SECONDS: Final = 0.5
CALLS_A_SECOND: Final = 43.0
"""Reads and looks together; what is left is for trying whether there is a bell."""

IN_VAIN_SECONDS: Final = 0.2
"""The pause after a ring that was for somebody else: a session that lets go all the time rings
all the time, and each ring that is heard costs four calls (two looks at its byte, one to let go
of it, one look at the log)."""

FREE_RINGS: Final = 2
"""Rings in vain, while one and the same is waited for, that cost no pause yet."""


class Pace:
    """When the log is read next. Pure; times on the monotonic clock, in seconds."""

    __slots__ = ("_expected", "_in_vain", "_poll", "read_at")

    def __init__(self, now: float) -> None:
        self._expected: tuple[list[int], tuple[str, ...]] | None = None
        self._in_vain = 0
        self._poll = FIRST_POLL_SECONDS
        self.read_at = now

    def expect(self, waiting: list[int], ahead: tuple[str, ...], now: float) -> None:
        """What is waited for, and from whom. If that is news, the log is read again soon: a ring
        may have come before anybody listened for theirs. And the rings so far were not in vain."""
        if (waiting, ahead) != self._expected:
            self._expected = waiting, ahead
            self._in_vain = 0
            self._poll = FIRST_POLL_SECONDS
            self.read_at = min(self.read_at, now + FIRST_POLL_SECONDS)

    def looked(self, now: float, armed: bool, looks: float) -> None:
        """The log was read and granted nothing. ``armed``: a bell is listened to; ``looks`` a
        second go to other sessions."""
        longest = ARMED_POLL_SECONDS
        if not armed:
            longest = max(POLL_SECONDS, 1.0 / (CALLS_A_SECOND - looks))
        poll = min(self._poll, longest)
        self._poll = 2 * poll
        self.read_at = now + poll

    def rung(self, now: float) -> float:
        """The bell rang. Returns for how long to be deaf first."""
        self._in_vain += 1
        deaf = 0.0 if self._in_vain <= FREE_RINGS else IN_VAIN_SECONDS
        self.read_at = now + deaf
        return deaf


class Attendance:
    """The attending of one session."""

    def __init__(
        self,
        requests: Requests,
        replica: Replica,
        membership: Membership,
        clock: Clock,
        bell: Bell | None,
        alive: Callable[[], bool],
        timing: Timing,
    ) -> None:
        self._requests = requests
        self._replica = replica
        self._membership = membership
        self._clock = clock
        self._bell = bell
        self._alive = alive
        self._trouble_seconds = timing.beat_interval / 4

    def attend(self) -> Steps[None]:
        """Until nothing waits or the session is over. Errors: ``LogDamaged``."""
        pace = Pace(self._clock.monotonic())
        armed = False
        while self._alive():
            waiting = self._requests.waiting()
            if not waiting:
                return
            try:
                armed = yield from self._once(pace, waiting, armed)
            except (SessionOver, LogDamaged):
                raise
            except LeaseError:  # the volume is in trouble: be gentle
                yield Sleep(self._trouble_seconds)

    def _once(self, pace: Pace, waiting: list[int], armed: bool) -> Steps[bool]:
        """Look, then listen. Returns whether a bell is in force."""
        reads = self._clock.monotonic() >= pace.read_at
        if reads:
            yield from self._replica.catch_up()
        yield from self._membership.make_way(waiting)
        waiting = self._requests.waiting()
        if not waiting:
            return armed
        ahead = self._membership.next_ahead(waiting)
        now = self._clock.monotonic()
        pace.expect(waiting, ahead, now)
        if reads:
            pace.looked(now, armed, self._membership.looks_a_second)
        pause = max(0.0, min(pace.read_at - now, self._membership.tick_seconds))
        if self._bell is None:
            yield Sleep(pause)
            return False
        heard: Heard = yield Listen(self._bell, ahead, pause)
        if heard.rung:
            deaf = pace.rung(self._clock.monotonic())
            if deaf:
                yield Sleep(deaf)
        return heard.armed
