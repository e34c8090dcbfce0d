"""What one worker read and wrote lately, and whether it still stands on the volume.

A master that crashes forgets a suffix, in time, of what it did; so of the log it forgets the last
entries. Whoever read one of them is on a log of its own. It may go on there, at indexes that
nobody else has come to, and what it writes itself does stand. So it is not enough to look at the
last entry: every place counts that was read or written since the last time all was found in place.
"""

from __future__ import annotations

import errno
from collections import deque
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple

from volumelease.clock import Clock
from volumelease.effects import Directory, ReadLink, Sleep, Steps

from . import ground
from .layout import Layout, number_of

FORGET_SECONDS: Final = 10.0
"""What is older than this, a crashing master does not forget. MooseFS writes its change log from
a thread of its own, right away; the rest is for a slow disk."""

QUICK_SECONDS: Final = 0.05
"""From the call that brought one entry to the answer that brought the next: within this, no
master crashes and starts again."""

KEPT: Final = 4
"""How many entries before a pause are looked at, and the void ones among them: what was forgotten
can land once more, when the mount sent it twice, but not that many in a row. Void ones don't
count: they may stand since an earlier crash, and tell nothing of the entries before them."""

_LONGEST_RUN: Final = 64
"""Entries that are noted before those that don't matter are dropped."""

_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.1


class Step(NamedTuple):
    """A place of the log as this worker knows it; "" stands for what is no symlink."""

    at: int
    segment: str
    place: int
    target: str
    void: bool
    """Its author had read another history."""


class Trail:
    """The steps of one replica, and the segments it walked through."""

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self.settled = ""
        """The newest segment whose election can't be forgotten any more: whoever starts there
        starts from the truth."""
        self._layout = layout
        self._clock = clock
        self._runs: deque[list[Step]] = deque()
        self._asked_at = float("-inf")
        self._entered: deque[tuple[str, float]] = deque()
        self._stood_at = float("-inf")
        self._started_from = ""

    def add(self, step: Step, asked_at: float) -> None:
        """Note an entry, just learnt by a call that was made at ``asked_at`` (boottime)."""
        if self._clock.boottime() - self._asked_at > QUICK_SECONDS or not self._runs:
            self._runs.append([])
        run = self._runs[-1]
        run.append(step)
        if len(run) > _LONGEST_RUN:
            self._runs[-1] = _last_of(run)
        self._asked_at = asked_at

    def steps(self) -> list[Step]:
        """What ``difference`` would look at."""
        return [step for run in self._runs for step in _last_of(run)]

    def enter(self, segment: str) -> None:
        """This worker found ``segment`` elected, in place and whole."""
        self._entered.append((segment, self._clock.boottime()))

    def unsettled(self) -> list[str]:
        """The segments that this worker found elected, and that may still be forgotten."""
        return [segment for segment, at in self._entered if at > float("-inf")]

    def settled_before(self) -> list[str]:
        """Settled segments that are worth noting: the one this worker started from, which others
        noted long ago, and the newest."""
        return list(dict.fromkeys(name for name in (self._started_from, self.settled) if name))

    def entered_before(self, segment: str, at: float) -> None:
        """Somebody found ``segment`` elected at ``at`` (boottime) already."""
        for number, (name, known) in enumerate(self._entered):
            if name == segment:
                self._entered[number] = (name, min(at, known))

    def start(self, segment: str) -> None:
        """This worker starts from ``segment``, which is settled."""
        self._runs.clear()
        self._entered.clear()
        self._entered.append((segment, float("-inf")))

    def difference(self) -> Steps[str]:
        """Why the volume no longer holds what this worker knows, or "" if it does.

        Errors: ``OSError``, ``AuthorityUnreachable``: the volume does not answer, no verdict.
        """
        now = self._clock.boottime()
        steps = self.steps()
        for segment, some in groupby(steps, key=attrgetter("segment")):
            why = yield from self._segment_differs(segment, list(some))
            if why:
                return why
        self._found_in_place(steps, now)
        return ""

    def _segment_differs(self, segment: str, steps: list[Step]) -> Steps[str]:
        why = f"segment {segment} of the log is gone"
        for _ in range(_TRIES):
            directory = yield from ground.open_segment(self._layout, segment)
            if directory is None:
                names = yield from ground.segments_in(self._layout, "log")
                if (
                    yield from ground.newest_settled(self._layout, names, number_of(segment) + 1)
                ) is not None:
                    return ""  # deleted long after it was of any use
            else:
                why = yield from _compare(steps, directory)
                if not why:
                    return ""
            yield Sleep(_PAUSE_SECONDS)  # retired, or deleted, this moment
        return why

    def _found_in_place(self, steps: list[Step], now: float) -> None:
        """All that was known at ``now`` stands. So nothing can come to be forgotten that was
        known ``FORGET_SECONDS`` before."""
        cut = _last_of(steps)[0].at if steps else 0
        while self._runs and self._runs[0][-1].at < cut:
            self._runs.popleft()
        self._stood_at = now
        self.judge()

    def judge(self) -> None:
        """Find the newest segment that is settled. What led to a segment is older than it."""
        cut = self._stood_at - FORGET_SECONDS
        while any(at <= cut for _, at in self._entered):
            self.settled = self._entered.popleft()[0]
            self._started_from = self._started_from or self.settled


def _last_of(steps: list[Step]) -> list[Step]:
    """The last ``KEPT`` that are not void, and all after the first of them."""
    first = len(steps)
    valid = 0
    while first and valid < KEPT:
        first -= 1
        valid += not steps[first].void
    return steps[first:]


def _compare(steps: list[Step], directory: Directory) -> Steps[str]:
    for step in steps:
        found: str | None = ""
        try:
            found = yield ReadLink(str(step.place), directory)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return f"entry {step.at} of the log is gone"
            # ESTALE: another one has its inode, so a crashed master forgot it.
            if error.errno not in (errno.EINVAL, errno.ESTALE):
                raise
        if found != step.target:
            return f"entry {step.at} of the log is not the one that was read before"
    return ""
