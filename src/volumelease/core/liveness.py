"""When a session is over: for its holder, and for those who watch it.

The safety of every lease rests on one inequality: a holder stops before anybody else starts.

* The holder counts a beat from the moment it was SENT and only if it was answered before the
  previous deadline; it may assume its leases until ``sent + ttl - margin``.
* An observer ends the session after it saw the beat's counter stand still for ``ttl + cache`` on
  its own clock.

Let s be the time at which the last counted beat was sent. Any later beat was not answered before
``s + ttl - margin``. The observer first saw the counter of that beat at or after s, so it ends
the session at or after ``s + ttl + cache``, which is later than the holder's last moment by
``margin + cache``. No clock of two hosts is compared; only their rates must agree to better than
``(margin + cache) / ttl`` (a fifth; real clocks differ by less than 0.1 %).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from volumelease.clock import Reading

LEAST_TTL_SECONDS: Final = 2.0
LEAST_MARGIN_SECONDS: Final = 0.5
ATTRIBUTE_CACHE_SECONDS: Final = 1.0
"""How long a mount may show an old attribute of a file. Measured: MooseFS and CephFS, 1 s."""

_COUNTERS_APART: Final = 1000
"""More beats than a mount hides."""


class Timing:
    """The times that follow from a volume's ttl, in seconds.

    ``margin``: how long before the ttl is over a holder stops. ``tolerance``: how far two clocks
    of one host may run apart before only a pause explains it; what they hide moves the holder's
    deadline, so it is paid out of the margin, and the other half is for the rates of the clocks
    and for attributes seen late. ``standstill``: how long an observer must see a counter stand.
    """

    __slots__ = ("beat_interval", "cache", "margin", "standstill", "tolerance", "ttl")

    def __init__(self, ttl: float, cache: float = ATTRIBUTE_CACHE_SECONDS) -> None:
        self.ttl: Final = ttl
        self.cache: Final = cache
        self.beat_interval: Final = ttl / 3
        self.margin: Final = max(ttl / 5, LEAST_MARGIN_SECONDS)
        self.tolerance: Final = self.margin / 2
        self.standstill: Final = ttl + cache
        if not (ttl >= LEAST_TTL_SECONDS and 0 < ttl - self.margin < self.standstill):
            raise ValueError(f"ttl {ttl!r}: a holder must stop before another can start")


class Pulse:
    """The holder's side of one session: its deadline, and whether it is lost.

    Loss is latched: once ``lost`` says why, nothing revives the session. Times are readings of
    the holder's own clocks; the deadline runs on boottime, which counts suspension.
    """

    __slots__ = ("_counted", "_last", "_sent", "_timing", "deadline", "lost", "moved")

    def __init__(self, timing: Timing, now: Reading) -> None:
        self._timing = timing
        self._last = self._counted = now
        self._sent: Reading | None = None
        self.deadline = now.boottime + timing.ttl - timing.margin
        self.lost = ""
        self.moved: Callable[[], None] | None = None
        """Told of each beat that moved the deadline; must return at once."""

    def alive(self, now: Reading) -> bool:
        """Whether the session may still be assumed; latches the loss if not. Any thread may ask,
        so ``now`` may be a little older than what a beat noted meanwhile."""
        if now.boottime >= self.deadline:
            self.lose("no beat was answered in time")
        self._notice_pause(self._counted, now)
        return not self.lost

    def lose(self, reason: str) -> None:
        if not self.lost:
            self.lost = reason

    def sending(self, now: Reading) -> None:
        """A beat is about to be sent. Never two in flight: a late old value would hide a newer."""
        self._notice_time(now)
        self._sent = now

    def answered(self, now: Reading) -> bool:
        """The beat's write and the reading of identity and log both returned, with nothing
        against this session in them. Returns whether the beat counts."""
        sent, self._sent = self._sent, None
        self._notice_time(now)
        if sent is None or not self.alive(now):
            return False
        self.deadline = sent.boottime + self._timing.ttl - self._timing.margin
        self._counted = sent
        if self.moved is not None:
            self.moved()
        return self.alive(now)

    def _notice_time(self, now: Reading) -> None:
        last, self._last = self._last, now
        if now.boottime < last.boottime or now.monotonic < last.monotonic:
            self.lose("a clock ran backwards: the machine was restored from an image")
        self._notice_pause(last, now)
        # Several pauses, each too short to be noticed alone, add up against one deadline.
        self._notice_pause(self._counted, now)

    def _notice_pause(self, since: Reading, now: Reading) -> None:
        reason = pause_between(since, now, self._timing.tolerance)
        if reason:
            self.lose(reason)


def pause_between(since: Reading, now: Reading, tolerance: float) -> str:
    """A clock that ran ahead of another means that this process, or its machine, did not run
    (suspended, restored from an image): what it believed before is worth nothing. Why; or ""."""
    boottime = now.boottime - since.boottime
    if boottime - (now.monotonic - since.monotonic) > tolerance:
        return "the machine was suspended"
    if (now.wall - since.wall) - boottime > tolerance:
        return "the wall clock jumped ahead as after a pause"
    return ""


class Succession(NamedTuple):
    """What a session goes on from when another process takes the place of one that is provably
    gone: the ``counter`` in its heartbeat, and ``until`` (boottime of their host) when it could be
    believed without another beat.

    The successor's first beat is the predecessor's next one. So it must move the counter, or
    observers see it stand since the predecessor's; and it counts only before that deadline, for
    an observer that saw the predecessor's last counter may end the session soon after it.
    """

    counter: int
    until: float

    def pulse(self, timing: Timing, now: Reading) -> Pulse:
        """A pulse with the predecessor's deadline."""
        pulse = Pulse(timing, now)
        pulse.deadline = min(pulse.deadline, self.until)
        return pulse

    def last_counter(self) -> int:
        """The next beat writes one more. Far from what was read: that can be an old attribute, and
        the predecessor's last value must not be written again."""
        return self.counter + _COUNTERS_APART


class Standstill:
    """The observer's side: how long one session's counter has been seen standing still.

    Only time that the observer itself watched counts: between two looks at most one beat
    interval, and nothing across a jump of its own clocks.
    """

    __slots__ = ("_counter", "_last", "_seen", "_timing")

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._counter: int | None = None
        self._last: Reading | None = None
        self._seen = 0.0

    def look(self, counter: int | None, asked: Reading, answered: Reading) -> bool:
        """Note the counter (None: the file is missing, which counts as standing still) that was
        ``asked`` for and ``answered`` then. Returns whether the session may be ended.

        A value that moved can be as young as its answer; one that stands was seen standing when
        it was asked for and no later: an answer can be delayed for as long as a mount hangs.
        """
        last, self._last = self._last, asked
        moved = counter is not None and counter != self._counter
        if last is None or moved or self._jumped(last, answered):
            self._counter, self._seen, self._last = counter, 0.0, answered
            return False
        self._seen += min(asked.monotonic - last.monotonic, self._timing.beat_interval)
        return self._seen >= self._timing.standstill

    def _jumped(self, last: Reading, now: Reading) -> bool:
        monotonic = now.monotonic - last.monotonic
        boottime = now.boottime - last.boottime
        return monotonic < 0 or abs(boottime - monotonic) > self._timing.margin

    @property
    def seen_seconds(self) -> float:
        return self._seen
