"""The end of segments: retired ones are deleted much later, drafts that lost their election too.

A segment is retired (renamed to ``retired/``) when it is full and two newer ones are settled, and
its entries stay for a while: a worker whose mount still shows the old directory for a second must
find every place taken, or its commit would succeed where nobody reads it.

Of all sessions that find one old enough, the one whose rename to ``<segment>.gone-<session>``
succeeds deletes it. What a session leaves behind that is over, another one takes in the same way.
"""

from __future__ import annotations

from typing import Final

from volumelease.clock import Clock
from volumelease.core.records import SEGMENT_ENTRIES
from volumelease.effects import (
    ListDirectory,
    OpenDirectory,
    ReadLink,
    RemoveDirectory,
    Rename,
    Steps,
    Symlink,
    Unlink,
)
from volumelease.wire import entries, marks
from volumelease.wire.moments import decode_moment

from .committer import SLOW_SECONDS
from .layout import DOOMED, Layout, number_of
from .replica import TRUST_SECONDS, Replica

DEFAULT_RETENTION_SECONDS: Final = 600.0
LEAST_RETENTION_SECONDS: Final = TRUST_SECONDS + SLOW_SECONDS + 2.0
"""A directory may be used for ``TRUST_SECONDS`` after it was looked up, by a call of up to
``SLOW_SECONDS``, and looked up through an entry cached for a second."""


class Cleaning:
    """What one session deletes."""

    def __init__(
        self,
        replica: Replica,
        name: str,
        clock: Clock,
        boot_id: str,
        retention_seconds: float = DEFAULT_RETENTION_SECONDS,
    ) -> None:
        if retention_seconds < LEAST_RETENTION_SECONDS:
            raise ValueError(f"retention must be at least {LEAST_RETENTION_SECONDS} s")
        self.backlog = False
        """Whether the last sweep left something that could be deleted already."""
        self._replica = replica
        self._layout: Layout = replica.layout
        self._name = name
        self._clock = clock
        self._boot_id = boot_id
        self._retention = retention_seconds
        self._until = 0.0

    def sweep(self, budget_seconds: float) -> Steps[None]:
        """Delete what was retired long enough ago, for at most ``budget_seconds``.

        Limit: what is in the way, and what doesn't answer, is left for the next time.
        """
        self._until = self._clock.monotonic() + budget_seconds
        self.backlog = False
        try:
            listing: list[str] = yield ListDirectory(self._layout.folder("retired"))
            records: list[str] = yield ListDirectory(self._layout.folder("records"))
            yield from self._sweep_retired(listing, bool(records))
            yield from self._remove_lost_drafts()
        except OSError:
            return

    def _in_time(self) -> bool:
        if self._clock.monotonic() <= self._until:
            return True
        self.backlog = True
        return False

    def _sweep_retired(self, listing: list[str], records: bool) -> Steps[None]:
        segments = {name.partition(".")[0] for name in listing if _is_segment(name)}
        for name in listing:
            segment = name.partition(".")[0]
            if not _is_segment(name) and number_of(segment) >= 0 and segment not in segments:
                yield from _unlink(self._layout.retired(name))  # the mark of what is deleted
        yield from self._mark(segments, set(listing))
        young = False  # the oldest comes first, and what follows it is not older
        for name in sorted(filter(_is_segment, listing), key=_number_and_name):
            if not self._in_time():
                return
            segment, doomed, sweeper = name.partition(DOOMED)
            if not doomed:
                young = young or not (yield from self._old_enough(segment))
            left = sweeper != self._name and sweeper in self._replica.table.sessions
            if not (left if doomed else young) and (yield from self._win(name, segment)):
                yield from self._delete(self._layout.doomed(segment, self._name), records)

    def _win(self, name: str, segment: str) -> Steps[bool]:
        """Whether this session is the one that deletes it."""
        doomed = self._layout.doomed(segment, self._name)
        if self._layout.retired(name) == doomed:
            return True
        try:
            yield Rename(self._layout.retired(name), doomed)
        except OSError:
            return False  # another session was faster
        return True

    def _mark(self, segments: set[str], listing: set[str]) -> Steps[None]:
        """Note when a retired segment was first seen, in the clock that all processes of this
        boot share."""
        for segment in sorted(segments):
            mark = f"{segment}.{self._boot_id}"
            if segment in listing and mark not in listing:
                try:
                    yield Symlink(repr(self._clock.boottime()), self._layout.retired(mark))
                except OSError:
                    continue

    def _old_enough(self, segment: str) -> Steps[bool]:
        try:
            text: str = yield ReadLink(self._layout.retired(f"{segment}.{self._boot_id}"))
        except OSError:
            return False
        seen_at = decode_moment(text)
        return seen_at is not None and self._clock.boottime() - seen_at >= self._retention

    def _delete(self, folder: str, records: bool) -> Steps[None]:
        """The places go first and the marks last, so that a deletion can end anywhere."""
        try:
            if records and not (yield from self._remove_records(folder)):
                return
            names: list[str] = yield ListDirectory(folder)
            for name in names:
                if not self._in_time():
                    return
                yield Unlink(f"{folder}/{name}")
            yield RemoveDirectory(folder)
        except OSError:
            return

    def _remove_records(self, folder: str) -> Steps[bool]:
        """Delete the record files that this segment's entries name; each is named once. Returns
        whether there was time for all."""
        directory = yield OpenDirectory(folder)
        for place in range(SEGMENT_ENTRIES):
            if not self._in_time():
                return False
            try:
                target: str = yield ReadLink(str(place), directory)
            except OSError:
                continue
            name = entries.referenced_file(target[marks.MARK_LETTERS :].rstrip(" "))
            if name is not None:
                yield from _unlink(self._layout.record(name))
        return True

    def _remove_lost_drafts(self) -> Steps[None]:
        """Drafts up to the settled segment lost their election, for ever."""
        settled = self._replica.trail.settled
        names: list[str] = yield ListDirectory(self._layout.folder("drafts"))
        for name in sorted(names):
            draft = name.removesuffix(DOOMED)
            lost = draft != settled and 0 <= number_of(draft) <= number_of(settled)
            if lost and self._in_time():
                yield from self._remove_draft(name)

    def _remove_draft(self, draft: str) -> Steps[None]:
        """Renamed away first: its old path may still lead this mount, for a second, to the live
        segment that the draft became, and then entries of the log would be deleted. A rename is
        decided by the server, where a draft that became a segment is no longer there."""
        doomed = draft if draft.endswith(DOOMED) else draft + DOOMED
        try:
            if doomed != draft:
                yield Rename(self._layout.draft(draft), self._layout.draft(doomed))
            names: list[str] = yield ListDirectory(self._layout.draft(doomed))
            for name in names:
                yield Unlink(f"{self._layout.draft(doomed)}/{name}")
            yield RemoveDirectory(self._layout.draft(doomed))
        except OSError:
            return  # moved in place, or another session is at it; else the next sweep's


def _number_and_name(name: str) -> tuple[int, str]:
    """Oldest first."""
    return number_of(name.partition(".")[0]), name


def _is_segment(name: str) -> bool:
    """Whether it is a retired segment, and not the mark of when one was first seen."""
    segment, dot, _ = name.partition(".")
    return number_of(segment) >= 0 and (not dot or name.startswith(segment + DOOMED))


def _unlink(path: str) -> Steps[None]:
    try:
        yield Unlink(path)
    except OSError:
        return
