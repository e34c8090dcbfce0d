"""A client's view of the page of deadlines (``wire.slots``)."""

from __future__ import annotations

import mmap
from typing import Any, Final, NamedTuple, Self

from volumelease.clock import Clock
from volumelease.core.liveness import LEAST_TTL_SECONDS, Timing, pause_between
from volumelease.errors import DaemonUnavailable
from volumelease.wire import slots
from volumelease.wire.fields import Malformed, take, take_index, take_number

_LARGEST_TAG: Final = 1 << 63


class Deadlines:
    """One slot of the page. A read costs less than a microsecond and asks nobody.

    Limit: boottime of this very machine and time namespace. Errors, when it is opened:
    ``DaemonUnavailable``.
    """

    def __init__(self, path: str, slot: int, tag: int) -> None:
        try:
            with open(path, "rb") as file:
                self._memory = mmap.mmap(file.fileno(), slots.PAGE_BYTES, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DaemonUnavailable(
                f"the daemon's page of deadlines, {path}, can't be read: {error}",
                advice="Let this process see the directory of the daemon's socket as the daemon "
                "does",
                socket=path,
                root=None,
                seconds=0.0,
            ) from None
        self._tag = slots.encode_count(tag)
        self._tag_at = slots.tag_at(slot)
        self._begins = slots.begins_at(slot)
        self._alarms = slots.alarms_at(slot)

    @classmethod
    def told(cls, about: dict[str, Any]) -> Self:
        """As a daemon's answer to ``attach`` says. Errors: also ``Malformed``."""
        page, slot, tag = (
            take(about, "page", str),
            take_index(about, "slot"),
            take(about, "tag", int),
        )
        if slot >= slots.SLOTS or not -_LARGEST_TAG <= tag < _LARGEST_TAG:
            raise Malformed("slot, tag: of no page")
        return cls(page, slot, tag)

    def deadline(self) -> float:
        """Boottime up to which the session may be assumed."""
        shown = self._memory[self._begins : self._begins + 8]
        if self._memory[self._tag_at : self._tag_at + 8] != self._tag:
            return slots.LOST  # the slot is another session's
        return slots.decode_seconds(shown)

    def alarms(self) -> int:
        """Grows when a lease of the session was lost and the session was not."""
        return slots.decode_count(self._memory[self._alarms : self._alarms + 8])


class Look(NamedTuple):
    """What the page showed before the daemon was asked. The deadline was read first, so no lease
    whose loss a later alarm tells of can be another's before it."""

    deadline: float
    alarms: int


class Belief:
    """What a process may believe of a session by its page. For any thread.

    Besides the deadline it looks at its own clocks, as a process does that beats itself: a process
    that was restored from an image finds the page of another life.
    """

    def __init__(self, about: dict[str, Any], clock: Clock) -> None:
        self._page = Deadlines.told(about)
        ttl, cache = take_number(about, "ttl"), take_number(about, "cache")
        margin = take_number(about, "margin")
        if ttl < LEAST_TTL_SECONDS or not 0 <= cache <= ttl or not 0 <= margin <= ttl:
            raise Malformed("ttl, cache, margin: of no session")
        self.last_seconds = (margin + cache) / 2
        """Half of what passes between a loss here and the first moment of somebody else."""
        self._tolerance = Timing(ttl, cache).tolerance
        self._clock = clock
        self._deadline = self._page.deadline()
        self._since = clock.read()
        """When the deadline was first seen where it is."""
        self._known = self.look()
        """What held for everything of this process: until that deadline it may be assumed, even
        if there were alarms since."""
        self._doubted_at: float | None = None
        """When the alarm was seen about which nobody asked yet (boottime)."""

    def loss(self) -> str:
        """Why the session can't be assumed any more, or "". Whoever asks latches it."""
        deadline, now = self._page.deadline(), self._clock.read()
        since, known = self._since, self._known
        if deadline != self._deadline:
            self._deadline, self._since = deadline, now
        if deadline > known.deadline and self._page.alarms() == known.alarms:
            self._known = Look(deadline, known.alarms)
        if now.boottime >= deadline:
            return "no beat of the daemon was answered in time"
        return pause_between(since, now, self._tolerance)

    def remaining_seconds(self) -> float:
        return max(0.0, self._page.deadline() - self._clock.boottime())

    # ---- alarms: the session lives, and a lease of it was lost

    def look(self) -> Look:
        """What is to be taken down before the daemon is asked for each lease."""
        return Look(self._page.deadline(), self._page.alarms())

    def answered(self, look: Look) -> None:
        """It was asked since, for everything that this process holds."""
        self._known, self._doubted_at = look, None

    def in_doubt(self) -> bool:
        """Whether there was an alarm and nobody asked since."""
        if self._page.alarms() == self._known.alarms:
            return False
        if self._doubted_at is None:
            self._doubted_at = self._clock.boottime()
        return True

    def sure_seconds(self) -> float:
        """While it is in doubt: for how long what is held may be assumed while nobody says which
        lease an alarm was for.

        Safe because whoever moves the deadline has read of each loss before, and raised the alarm
        first: the deadline that stood there without the alarm is one from before the loss. Who saw
        the alarm too late for that (it did not run) has ``last_seconds`` to ask, which are left
        between that deadline and somebody else.
        """
        now, doubted_at = self._clock.boottime(), self._doubted_at
        to_ask = 0.0 if doubted_at is None else doubted_at + self.last_seconds
        return max(0.0, self._known.deadline - now, to_ask - now)
