"""The life of segments: closed, elected, retired, deleted.

The next segment is elected by the log itself, not by a rename race: the first valid
``Next <draft>`` at place 240 or later closes the segment, and the draft it names was complete
before. Anybody may move the ELECTED draft in place, because its source exists only once; a losing
draft is removed only after the election named another.

Old segments are renamed away (``retired/``) in ascending order, full ones only, never the two
newest, and their entries deleted much later: a worker whose mount still shows the old directory
for a second must find every place taken, or its commit would succeed where nobody reads it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.records import CLOSING_ENTRIES, SEGMENT_ENTRIES, Entry
from volumelease.effects import (
    ListDirectory,
    MakeDirectory,
    OpenDirectory,
    ReadLink,
    RemoveDirectory,
    Rename,
    Sleep,
    Steps,
    Symlink,
    Unlink,
)
from volumelease.errors import AuthorityUnreachable, VolumeFull
from volumelease.wire import entries, snapshots

from .committer import SLOW_SECONDS
from .layout import Layout
from .replica import TRUST_SECONDS, Replica

DEFAULT_RETENTION_SECONDS: Final = 600.0
LEAST_RETENTION_SECONDS: Final = TRUST_SECONDS + SLOW_SECONDS + 2.0
"""A directory may be used for ``TRUST_SECONDS`` after it was looked up, by a call of up to
``SLOW_SECONDS``, and looked up through an entry cached for a second."""

RESERVE_ENTRIES: Final = 24
"""Spare symlinks, unlinked to pay for a release on a volume without free inodes: one draft (its
directory and snapshot), its election, and some releases."""

_GONE: Final = frozenset({errno.ENOENT, errno.ESTALE, errno.ENOTDIR})
_FULL: Final = frozenset({errno.EDQUOT, errno.ENOSPC})
_TRIES: Final = 8
_PAUSE_SECONDS: Final = 0.05
_HOLDINGS_A_CHUNK: Final = 8
_DOOMED: Final = ".gone"


class Segments:
    """Turnover and clean-up for one session's replica."""

    def __init__(
        self,
        replica: Replica,
        author: str,
        clock: Clock,
        unique: Callable[[], str],
        boot_id: str,
        spend_reserve: Callable[[], Steps[bool]],
        retention_seconds: float = DEFAULT_RETENTION_SECONDS,
    ) -> None:
        if retention_seconds < LEAST_RETENTION_SECONDS:
            raise ValueError(f"retention must be at least {LEAST_RETENTION_SECONDS} s")
        self._replica = replica
        self._layout: Layout = replica.layout
        self._author = author
        self._clock = clock
        self._unique = unique
        self._boot_id = boot_id
        self._spend_reserve = spend_reserve
        self._retention = retention_seconds

    # ---- closing a segment and electing the next

    def turn_over(self) -> Steps[None]:
        """Close the current segment, unless somebody else just did.

        Errors: ``VolumeFull`` when not even the reserve pays for it; ``AuthorityUnreachable``.
        """
        replica = self._replica
        yield from replica.catch_up()
        if replica.place < CLOSING_ENTRIES:
            return
        segment = replica.segment
        draft = f"{segment + 1}-{self._unique()}"
        yield from self._write_draft(draft, snapshots.encode_snapshot(replica.table, segment + 1))
        body = records.Next(draft)
        text = entries.encode_entry(Entry(self._author, 0, round(self._clock.wall(), 3), body))
        for _ in range(_TRIES):
            yield from self._elect(segment, text)
            if replica.segment != segment:
                break
        else:
            raise AuthorityUnreachable(
                f"could not close segment {segment}", root=self._layout.root, seconds=0.0
            )
        if replica.elected == draft:
            yield from self.retire()
        elif replica.elected is not None and replica.segment == segment + 1:
            yield from self._remove_draft(draft)
        # else: a snapshot was loaded and nothing is known; sweep() removes what lost

    def _elect(self, segment: int, text: str) -> Steps[None]:
        replica = self._replica
        yield from replica.arrive()
        if replica.segment != segment:
            return
        place, directory = str(replica.place), replica.directory
        trouble: OSError | None = None
        try:
            yield Symlink(text, place, directory)
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

    def _remove_draft(self, draft: str) -> Steps[None]:
        """Renamed away first: its old path may still lead this mount, for a second, to the live
        segment that the draft became, and then entries of the log would be deleted. A rename is
        decided by the server, where a draft that became a segment is no longer there."""
        doomed = draft if draft.endswith(_DOOMED) else draft + _DOOMED
        if doomed != draft:
            try:
                yield Rename(self._layout.draft(draft), self._layout.draft(doomed))
            except OSError:
                return  # moved in place, or another session is at it; else the next sweep's
        yield from self._remove_tree(self._layout.draft(doomed))

    # ---- retiring

    def retire(self) -> Steps[None]:
        """Rename away all but the two newest segments, oldest first."""
        names = yield from self._numbers("log")
        for number in names[:-2]:
            try:
                yield Rename(self._layout.segment(number), self._layout.retired(number))
            except OSError as error:
                if error.errno not in _GONE:
                    return  # in ascending order, or not at all
            yield from self._mark(number)

    def _mark(self, number: int) -> Steps[None]:
        """Note, in the clock that all processes of this boot share, when a retired segment was
        first seen: whoever finds the mark old enough on the same boot may delete."""
        mark = f"{self._layout.retired(number)}.{self._boot_id}"
        try:
            yield Symlink(repr(self._clock.boottime()), mark)
        except OSError:
            return

    def sweep(self, budget_seconds: float) -> Steps[None]:
        """Delete what was retired long enough ago, for at most ``budget_seconds``.

        A segment is renamed once more before its first place becomes free, so that nobody who
        looks for it by its name can be reading it.
        """
        until = self._clock.monotonic() + budget_seconds
        folder = self._layout.folder("retired")
        try:
            listing: list[str] = yield ListDirectory(folder)
        except OSError:
            return
        names = set(listing)
        for name in sorted(name for name in names if name.endswith(_DOOMED)):
            yield from self._delete(name, names)
        for number in sorted(int(name) for name in names if name.isdigit()):
            old = yield from self._old_enough(number, f"{number}.{self._boot_id}", names)
            if not old or self._clock.monotonic() > until:
                break
            try:
                yield Rename(f"{folder}/{number}", f"{folder}/{number}{_DOOMED}")
            except OSError:
                continue  # another session is at it
            yield from self._delete(f"{number}{_DOOMED}", names)
        yield from self._remove_lost_drafts()

    def _remove_lost_drafts(self) -> Steps[None]:
        """Drafts for segments below the current one lost their election long ago."""
        try:
            names: list[str] = yield ListDirectory(self._layout.folder("drafts"))
        except OSError:
            return
        for name in names:
            number = name.partition("-")[0]
            if number.isdigit() and int(number) < self._replica.segment:
                yield from self._remove_draft(name)

    def _old_enough(self, number: int, mark: str, names: set[str]) -> Steps[bool]:
        if mark not in names:
            yield from self._mark(number)
            return False
        try:
            text: str = yield ReadLink(f"{self._layout.folder('retired')}/{mark}")
            seen_at = float(text)
        except (OSError, ValueError):
            return False
        return self._clock.boottime() - seen_at >= self._retention

    def _delete(self, name: str, names: set[str]) -> Steps[None]:
        number = name.removesuffix(_DOOMED)
        folder = f"{self._layout.folder('retired')}/{name}"
        yield from self._remove_records(folder)
        yield from self._remove_tree(folder)
        for other in sorted(names):
            if other.startswith(f"{number}.") and other != name:
                try:
                    yield Unlink(f"{self._layout.folder('retired')}/{other}")
                except OSError:
                    continue

    def _remove_records(self, folder: str) -> Steps[None]:
        """Delete the record files that this segment's entries name; each is named once."""
        try:
            directory = yield OpenDirectory(folder)
        except OSError:
            return
        for place in range(SEGMENT_ENTRIES):
            try:
                target: str = yield ReadLink(str(place), directory)
            except OSError:
                continue
            name = entries.referenced_file(target)
            if name is not None:
                try:
                    yield Unlink(self._layout.record(name))
                except OSError:
                    continue

    def _remove_tree(self, folder: str) -> Steps[None]:
        """Remove a directory of symlinks; what is in the way is left for the next time."""
        try:
            names: list[str] = yield ListDirectory(folder)
            for name in names:
                yield Unlink(f"{folder}/{name}")
            yield RemoveDirectory(folder)
        except OSError:
            return

    def _numbers(self, folder: str) -> Steps[list[int]]:
        try:
            names: list[str] = yield ListDirectory(self._layout.folder(folder))
        except OSError:
            return []
        return sorted(int(name) for name in names if name.isdigit())

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
