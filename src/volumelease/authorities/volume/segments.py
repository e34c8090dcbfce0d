"""The life of segments: closed, elected, settled.

The next segment is elected by the log itself, not by a rename race: the first valid
``Next <draft>`` at place 240 or later closes the segment, and the draft it names was complete
before. Anybody may move the ELECTED draft in place, because its source exists only once. It keeps
the draft's name, so a segment that was elected by entries which a crashed master forgot is not in
the way of another.

Once the election can't be forgotten any more, the new segment is marked as *settled*: whoever
comes new starts from the newest that is. All that is cleaned up (``cleaning``) is older.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from typing import Final

from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.records import CLOSING_ENTRIES, Entry
from volumelease.core.table import Table
from volumelease.effects import (
    ListDirectory,
    MakeDirectory,
    Rename,
    Sleep,
    Steps,
    Symlink,
)
from volumelease.errors import AuthorityUnreachable, VolumeFull
from volumelease.wire import entries, marks, snapshots

from . import ground
from .ground import GONE
from .layout import FIRST_SEGMENT, SETTLED, Layout, number_of
from .replica import Replica
from .trail import FORGET_SECONDS

RESERVE_ENTRIES: Final = 24
"""Spare symlinks, unlinked to pay for a release on a volume without free inodes: one draft (its
directory and snapshot), its election, and some releases."""

_FULL: Final = frozenset({errno.EDQUOT, errno.ENOSPC})
_TRIES: Final = 8
_PAUSE_SECONDS: Final = 0.05
_HOLDINGS_A_CHUNK: Final = 8


class Segments:
    """Turnover for one session's replica."""

    def __init__(
        self,
        replica: Replica,
        author: str,
        clock: Clock,
        unique: Callable[[], str],
        spend_reserve: Callable[[], Steps[bool]],
    ) -> None:
        self._replica = replica
        self._layout: Layout = replica.layout
        self._author = author
        self._clock = clock
        self._unique = unique
        self._spend_reserve = spend_reserve
        self._settled: deque[tuple[str, float]] = deque()
        self._retired_by = ""

    # ---- closing a segment and electing the next

    def turn_over(self) -> Steps[None]:
        """Close the current segment, unless somebody else just did.

        Errors: ``VolumeFull`` when not even the reserve pays for it; ``AuthorityUnreachable``.
        """
        replica = self._replica
        yield from replica.catch_up()
        if replica.place < CLOSING_ENTRIES:
            return
        segment, table = replica.segment, replica.table
        draft = f"{segment + 1}-{self._unique()}"
        yield from self._write_draft(draft, snapshots.encode_snapshot(table, segment + 1))
        body = records.Next(draft)
        text = entries.encode_entry(Entry(self._author, 0, round(self._clock.wall(), 3), body))
        for _ in range(_TRIES):
            yield from self._elect(segment, table, text)
            if replica.segment != segment or replica.table is not table:
                break
        else:
            raise AuthorityUnreachable(
                f"could not close segment {segment}", root=self._layout.root, seconds=0.0
            )

    def _elect(self, segment: int, table: Table, text: str) -> Steps[None]:
        """The draft holds ``table``: nothing may elect it once another one was loaded."""
        replica = self._replica
        yield from replica.arrive()
        if replica.segment != segment or replica.table is not table:
            return
        place, directory, mark = str(replica.place), replica.directory, replica.mark
        assert mark is not None
        trouble: OSError | None = None
        try:
            yield Symlink(marks.seal(mark, text), place, directory)
        except OSError as error:
            trouble = error
        yield from replica.catch_up()  # whose record it is decides, not what the call said
        if trouble is not None and replica.segment == segment:
            if trouble.errno in _FULL:
                yield from self._pay(trouble)
            yield Sleep(_PAUSE_SECONDS)

    def _write_draft(self, draft: str, targets: list[str]) -> Steps[None]:
        folder = self._layout.draft(draft)
        yield from self._insist(MakeDirectory(folder))
        for number, target in enumerate(targets):
            yield from self._insist(Symlink(target, f"{folder}/s{number}"))

    def _insist(self, effect: MakeDirectory | Symlink) -> Steps[None]:
        """Make something under a name nobody else uses: EEXIST can only be our own, resent."""
        trouble: OSError | None = None
        for _ in range(_TRIES + RESERVE_ENTRIES):
            try:
                yield effect
            except OSError as error:
                trouble = error
                if error.errno == errno.EEXIST:
                    return
                if error.errno in _FULL:
                    yield from self._pay(error)
                else:
                    yield Sleep(_PAUSE_SECONDS)
            else:
                return
        raise AuthorityUnreachable(
            f"could not prepare a segment: {trouble}", root=self._layout.root, seconds=0.0
        )

    def _pay(self, trouble: OSError) -> Steps[None]:
        paid = yield from self._spend_reserve()
        if not paid:
            raise VolumeFull(f"{self._layout.root} is full: {trouble}", root=self._layout.root)

    # ---- settling

    def settle(self) -> Steps[bool]:
        """Say of the newest segment that is settled that it is; retire what came long before.
        Returns whether it did."""
        name = self._replica.trail.settled
        known = self._settled
        last = known[-1][0] if known else self._retired_by
        if name not in ("", FIRST_SEGMENT, last):
            try:
                yield Symlink("-", f"{self._layout.segment(name)}/{SETTLED}")
            except OSError as error:
                if error.errno != errno.EEXIST:
                    return False
            known.append((name, self._clock.boottime()))
        return (yield from self._retire_before())

    def _retire_before(self) -> Steps[bool]:
        """Retire by the newest mark that can't be forgotten either: a newcomer must always find
        one."""
        known, long_ago = self._settled, self._clock.boottime() - FORGET_SECONDS
        name = ""
        while known and known[0][1] <= long_ago:
            name, _ = known.popleft()
        if not name or not (yield from ground.is_settled(self._layout, name)):
            return False
        self._retired_by = name
        yield from self.retire(number_of(name))
        return True

    def retire(self, settled: int) -> Steps[None]:
        """Rename away the segments that came before the one before ``settled``, oldest first;
        and those that were elected by what a crashed master forgot."""
        names = yield from ground.segments_in(self._layout, "log")
        for name in names:
            if number_of(name) >= settled - 1:
                return
            try:
                yield Rename(self._layout.segment(name), self._layout.retired(name))
            except OSError as error:
                if error.errno not in GONE:
                    return  # in ascending order, or not at all

    # ---- the reserve

    def refill_reserve(self) -> Steps[None]:
        """Keep enough spare entries for a turnover, while the volume has room."""
        wanted = RESERVE_ENTRIES + len(self._replica.table.holdings) // _HOLDINGS_A_CHUNK
        try:
            names: list[str] = yield ListDirectory(self._layout.folder("reserve"))
            for _ in range(wanted - len(names)):
                yield Symlink("spare", self._layout.reserve(self._unique()))
        except OSError:
            return
