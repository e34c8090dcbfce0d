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
from contextlib import suppress
from typing import Final

from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.records import CLOSING_ENTRIES, Entry
from volumelease.core.table import Table
from volumelease.effects import (
    ListDirectory,
    MakeDirectory,
    ReadLink,
    Rename,
    Sleep,
    Steps,
    Symlink,
)
from volumelease.errors import AuthorityUnreachable, VolumeFull
from volumelease.wire import entries, marks, snapshots

from . import ground
from .ground import ALREADY, GONE
from .layout import FIRST_SEGMENT, SEEN, SETTLED, Layout, number_of
from .replica import Replica
from .trail import FORGET_SECONDS

RESERVE_ENTRIES: Final = 24
"""Spare symlinks, unlinked to pay for a release on a volume without free inodes: one draft (its
directory and snapshot), its election, and some releases."""

_FULL: Final = frozenset({errno.EDQUOT, errno.ENOSPC})
_TRIES: Final = 8
_PAUSE_SECONDS: Final = 0.05
_MOST_LOOKED_BACK: Final = 64
_HOLDINGS_A_CHUNK: Final = 8


class Segments:
    """Turnover for one session's replica."""

    def __init__(
        self,
        replica: Replica,
        author: str,
        clock: Clock,
        unique: Callable[[], str],
        boot_id: str,
        spend_reserve: Callable[[], Steps[bool]],
    ) -> None:
        self._replica = replica
        self._layout: Layout = replica.layout
        self._author = author
        self._clock = clock
        self._unique = unique
        self._boot_id = boot_id
        self._spend_reserve = spend_reserve
        self._settled: deque[tuple[str, float]] = deque()
        self._noted: set[str] = set()
        self._noted_settled: set[str] = set()
        self._looked_back = False

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
            trouble = error.with_traceback(None)
        yield from replica.reach_end()  # whose record it is decides, not what the call said
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
                trouble = error.with_traceback(None)
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
        if not self._looked_back:
            self._looked_back = True
            yield from self._look_back()
        yield from self._note_elected()
        for name in self._replica.trail.settled_before():
            if name != FIRST_SEGMENT and name not in self._noted_settled:
                path = f"{self._layout.segment(name)}/{SETTLED}"
                since = yield from self._note(path, f"{self._boot_id} ")
                if since is None:
                    return False
                self._noted_settled.add(name)
                self._settled.append((name, since))
        return (yield from self._retire_before())

    def _look_back(self) -> Steps[None]:
        """What others noted long enough ago to retire by it; sessions can be shorter than that."""
        names = yield from ground.segments_in(self._layout, "log")
        for name in names[-2 : -2 - _MOST_LOOKED_BACK : -1]:
            try:
                text: str = yield ReadLink(f"{self._layout.segment(name)}/{SETTLED}")
                since = float(text.removeprefix(f"{self._boot_id} "))
            except (OSError, ValueError):
                continue
            if since <= self._clock.boottime() - FORGET_SECONDS:
                self._settled.append((name, since))
                return

    def _note_elected(self) -> Steps[None]:
        """Note when a segment was first found elected, in the clock that all processes of this
        boot share: a session can be shorter than what a crashing master may forget, and if no
        longer one came, nothing would ever be settled. A note that stands proves that what was
        there before it stands."""
        trail = self._replica.trail
        for name in trail.unsettled():
            if name not in self._noted:
                path = f"{self._layout.segment(name)}/{SEEN}.{self._boot_id}"
                since = yield from self._note(path)
                if since is not None:
                    self._noted.add(name)
                    trail.entered_before(name, since)
        trail.judge()

    def _note(self, path: str, prefix: str = "") -> Steps[float | None]:
        """Since when that note is there, by the clock of this boot; made now if it is missing, or
        from now on if it is another boot's. None: nobody knows."""
        now = self._clock.boottime()
        try:
            yield Symlink(f"{prefix}{now!r}", path)
        except OSError as error:
            if error.errno != errno.EEXIST:
                return None
            try:
                text: str = yield ReadLink(path)
            except OSError:
                return None
            try:
                return float(text.removeprefix(prefix))
            except ValueError:
                return now
        return now

    def _retire_before(self) -> Steps[bool]:
        """Retire by the newest mark that can't be forgotten either: a newcomer must always find
        one."""
        known, long_ago = self._settled, self._clock.boottime() - FORGET_SECONDS
        name = ""
        while known and known[0][1] <= long_ago:
            name, _ = known.popleft()
        if not name or not (yield from ground.is_settled(self._layout, name)):
            return False
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
                if error.errno in ALREADY:
                    yield from self._end_again(name)
                elif error.errno not in GONE:
                    return  # in ascending order, or not at all

    def _end_again(self, name: str) -> Steps[None]:
        """It was retired before, and a late call of a killed founder made its directory anew."""
        with suppress(OSError):
            yield Rename(self._layout.segment(name), self._layout.doomed(name, self._author))

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
