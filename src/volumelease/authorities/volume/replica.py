"""One worker's copy of the log: reads entries in order and applies them to the table.

An entry's index is ``segment * 256 + place``. A segment is closed by the first valid ``Next`` at
place 240 or later; the next entry is then place 0 of the following segment.

The steps between two effects are atomic (the driver sees to it), but other flows of this session
run between them. So after every effect, what was true before is looked at again.
"""

from __future__ import annotations

import errno
import re
from typing import Final, Protocol

from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.records import CLOSING_ENTRIES, FORMAT_VERSION, SEGMENT_ENTRIES, Entry
from volumelease.core.table import Outcome, Table
from volumelease.effects import (
    Directory,
    ListDirectory,
    OpenDirectory,
    ReadFile,
    ReadLink,
    Rename,
    Sleep,
    Steps,
)
from volumelease.errors import AuthorityUnreachable, LogDamaged
from volumelease.wire import entries, snapshots

from .layout import Layout

TRUST_SECONDS: Final = 5.0
"""How long an open segment directory is used before its path is looked up again. Must stay well
below the least retention: a directory whose entries were deleted would take commits again."""

_READ_TRIES: Final = 5
_RETRY_SECONDS: Final = 0.05
_GONE: Final = frozenset({errno.ENOENT, errno.ESTALE, errno.ENOTDIR})
_DRAFT_NAME: Final = re.compile(r"[0-9]{1,18}-[0-9a-f]{1,64}\Z")


class Listener(Protocol):
    """Who is told what a replica learns; called between two effects, must not block."""

    def entry_applied(self, index: int, entry: Entry, outcome: Outcome) -> None: ...

    def table_loaded(self) -> None:
        """The table was replaced by a snapshot: entries in between were never seen."""


class Replica:
    """The table as of ``next_index``, and where to read on.

    Promise: two replicas of one log with the same ``next_index`` have equal tables. What the
    rules exclude (a gap, a snapshot that disagrees, a record file gone) raises ``LogDamaged``
    and never guesses.
    """

    def __init__(self, layout: Layout, clock: Clock, listener: Listener) -> None:
        self.layout = layout
        self.table = Table()
        self.next_index = 0
        self.directory: Directory | None = None
        self.last: tuple[int, str] | None = None
        """Index and content of the last entry read: what a beat checks is still there."""
        self.garbage = 0
        self._clock = clock
        self._listener = listener
        self._opened_at = 0.0
        self._elected: str | None = None
        self._loaded = False
        self._torn = False
        self._compared = -1

    @property
    def segment(self) -> int:
        return self.next_index // SEGMENT_ENTRIES

    @property
    def place(self) -> int:
        return self.next_index % SEGMENT_ENTRIES

    @property
    def elected(self) -> str | None:
        """The draft that became, or becomes, the current segment."""
        return self._elected

    def distrust(self) -> None:
        """Look the segment up by its path before it is used again."""
        self.directory = None

    # ---- reading

    def catch_up(self) -> Steps[None]:
        """Apply every entry there is.

        Errors: ``AuthorityUnreachable`` when the volume does not answer properly,
        ``LogDamaged``.
        """
        while True:
            yield from self.arrive()
            index, directory = self.next_index, self.directory
            if directory is None:
                continue
            place = str(index % SEGMENT_ENTRIES)
            found, target = yield from self._read(place, directory)
            if found:
                yield from self._take(index, target)
            elif index == self.next_index:
                return

    def there(self) -> bool:
        """Whether ``arrive`` would have nothing to do."""
        fresh = self._clock.boottime() - self._opened_at < TRUST_SECONDS
        return fresh and self.directory is not None and self._loaded and not self._torn

    def arrive(self) -> Steps[None]:
        """Have the current segment's directory open, looked up by its path not long ago."""
        if self._torn or not self._loaded:
            self._torn = self._loaded = False
            yield from self.load()
        tries = 0
        while True:
            now = self._clock.boottime()
            if self.directory is not None and now - self._opened_at < TRUST_SECONDS:
                return
            segment = self.segment
            try:
                directory: Directory = yield OpenDirectory(self.layout.segment(segment))
            except OSError as error:
                if error.errno not in _GONE:
                    raise self._trouble("open the log", error) from error
                if segment == self.segment:
                    tries += 1
                    yield from self._find_segment(segment, tries)
                continue
            if self._elected is not None and segment == self.segment:
                yield from self._compare_with_snapshot(segment, directory)
            if segment == self.segment:
                self.directory, self._opened_at = directory, now

    def _compare_with_snapshot(self, segment: int, directory: Directory) -> Steps[None]:
        """A segment begins with the table its author came to; ours, replayed, must be the same.
        Two workers whose tables differ would each grant what the other holds."""
        if self._compared == segment or self.next_index != segment * SEGMENT_ENTRIES:
            return
        found, text = yield from self._read("s0", directory)
        if self.next_index != segment * SEGMENT_ENTRIES:
            return
        header = snapshots.decode_header(text) if found and text else None
        if header is None or header.digest != snapshots.digest_of(self.table):
            raise LogDamaged(
                f"segment {segment} does not begin with the table that the log leads to",
                where=self.layout.segment(segment),
            )
        self._compared = segment

    def _find_segment(self, segment: int, tries: int) -> Steps[None]:
        """``log/<segment>`` is not there: it was elected and nobody moved it in place yet, or it
        was retired long ago, or the log is gone."""
        elected = self._elected
        if elected is not None:
            try:
                yield Rename(self.layout.draft(elected), self.layout.segment(segment))
            except OSError as error:
                if error.errno not in _GONE | {errno.EEXIST, errno.ENOTEMPTY}:
                    raise self._trouble("move the elected segment in place", error) from error
            else:
                return
        if tries <= 1:
            return  # whoever moved it may have been faster than our own look-up
        yield from self._replay_retired(segment)
        if self.segment == segment:
            yield from self.load()

    def _replay_retired(self, segment: int) -> Steps[None]:
        """Read a retired segment to its end. Nothing is ever committed there: its free places
        are free only because it is being deleted."""
        try:
            directory: Directory = yield OpenDirectory(self.layout.retired(segment))
        except OSError:
            return
        while self.segment == segment:
            index = self.next_index
            found, target = yield from self._read(str(index % SEGMENT_ENTRIES), directory)
            if not found:
                return
            yield from self._take(index, target)

    def _read(self, name: str, directory: Directory) -> Steps[tuple[bool, str | None]]:
        """(whether there is something, its target or None for what is no symlink)."""
        trouble: OSError | None = None
        for _ in range(_READ_TRIES):
            try:
                target: str = yield ReadLink(name, directory)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return False, None
                if error.errno == errno.EINVAL:
                    return True, None
                trouble = error
            else:
                if target:  # an entry being born can read as '' on some file systems
                    return True, target
            yield Sleep(_RETRY_SECONDS)
        if trouble is None:
            trouble = OSError(errno.EIO, "an entry of the log reads empty")
        if trouble.errno in _GONE:
            self.distrust()
        raise self._trouble("read the log", trouble) from trouble

    def _take(self, index: int, target: str | None) -> Steps[None]:
        entry: Entry | None = None
        if target is not None:
            name = entries.referenced_file(target)
            if name is not None:
                text = yield from self._read_record(index, name)
                entry = entries.decode_entry(text)
            elif len(target) <= entries.INLINE_BYTES:
                entry = entries.decode_entry(target)
        self.apply(index, entry, target)

    def _read_record(self, index: int, name: str) -> Steps[str]:
        trouble = "its content is not what its name says"
        for _ in range(_READ_TRIES):
            try:
                content: bytes = yield ReadFile(self.layout.record(name))
            except OSError as error:
                trouble = str(error)
            else:
                text = content.decode(errors="replace")
                if entries.reference_to(text) == entries.reference_to_name(name):
                    return text
            if index < self.next_index:
                return ""  # another flow applied it meanwhile
            yield Sleep(_RETRY_SECONDS)
        raise LogDamaged(
            f"the record of log entry {index} can't be read: {trouble}",
            where=self.layout.record(name),
        )

    # ---- applying

    def apply(self, index: int, entry: Entry | None, target: str | None) -> None:
        """Apply the entry of ``index``, unless another flow did so before."""
        if index != self.next_index or self._torn:
            return
        # A signal handler may raise anywhere in here (Ctrl-C): a table left half changed is
        # thrown away and read anew.
        self._torn = True
        self._apply(index, entry, target)
        self._torn = False

    def _apply(self, index: int, entry: Entry | None, target: str | None) -> None:
        self.last = (index, target or "")
        place = index % SEGMENT_ENTRIES
        if entry is None:
            self.garbage += 1
        elif isinstance(entry.body, records.Next):
            if place >= CLOSING_ENTRIES and self._elects(entry.body):
                self._elected = entry.body.draft
                self.directory = None
                self.next_index = (index // SEGMENT_ENTRIES + 1) * SEGMENT_ENTRIES
                return
        elif place < CLOSING_ENTRIES:
            self._listener.entry_applied(index, entry, self.table.apply(index, entry))
        self._advance()

    def _advance(self) -> None:
        if self.place == SEGMENT_ENTRIES - 1:
            raise LogDamaged(
                "garbage fills every place in which the segment could be closed",
                where=self.layout.segment(self.segment),
            )
        self.next_index += 1

    def _elects(self, body: records.Next) -> bool:
        """Whoever the author is: a newcomer has to close a segment before it can open its
        session, when all others died right before they would have closed it."""
        if not _DRAFT_NAME.match(body.draft):
            return False
        return int(body.draft.partition("-")[0]) == self.segment + 1

    # ---- starting from a snapshot

    def load(self) -> Steps[None]:
        """Start from the newest segment's snapshot.

        Errors: ``LogDamaged`` if there is none, or if it ends before what was known already.
        """
        for _ in range(_READ_TRIES):
            names: list[str] = yield from self._list_segments()
            numbers = sorted(int(name) for name in names if name.isdigit())
            if not numbers:
                raise LogDamaged("the volume's log is gone", where=self.layout.folder("log"))
            if numbers[-1] < self.segment and self._loaded:
                raise LogDamaged(
                    f"the log ends before segment {self.segment}, which was read before",
                    where=self.layout.folder("log"),
                )
            loaded = yield from self._load_segment(numbers[-1])
            if loaded:
                return
            yield Sleep(_RETRY_SECONDS)
        raise LogDamaged("the newest segment can't be read", where=self.layout.folder("log"))

    def skip_ahead(self) -> Steps[None]:
        """Go on from the newest snapshot if it is in a later segment.

        A beat must know the whole tail before its deadline, and each entry read can cost a
        switch interval of the interpreter when another thread computes: so the way to the tail is
        never longer than one segment.
        """
        names = yield from self._list_segments()
        newest = max((int(name) for name in names if name.isdigit()), default=0)
        if newest > self.segment:
            yield from self._load_segment(newest)

    def _list_segments(self) -> Steps[list[str]]:
        try:
            names: list[str] = yield ListDirectory(self.layout.folder("log"))
        except OSError as error:
            if error.errno in _GONE:
                return []
            raise self._trouble("list the log", error) from error
        return names

    def _load_segment(self, segment: int) -> Steps[bool]:
        opened_at = self._clock.boottime()
        before = self.next_index
        try:
            directory: Directory = yield OpenDirectory(self.layout.segment(segment))
            text: str = yield ReadLink("s0", directory)
            header = snapshots.decode_header(text)
            if header is not None and header.format > FORMAT_VERSION:
                raise LogDamaged(
                    f"segment {segment} has format {header.format}; this version of "
                    f"volumelease reads up to {FORMAT_VERSION}",
                    where=self.layout.segment(segment),
                    advice="Upgrade volumelease here",
                )
            chunks: list[str] = []
            for number in range(header.chunks if header else 0):
                chunk: str = yield ReadLink(f"s{number + 1}", directory)
                chunks.append(chunk)
        except OSError as error:
            if error.errno in _GONE | {errno.EINVAL}:
                return False  # retired meanwhile, or garbage
            raise self._trouble("read the newest segment", error) from error
        table = snapshots.decode_snapshot(header, chunks) if header else None
        if table is None or header is None or header.segment != segment:
            return False
        if self.next_index != before:
            return True  # another flow went on meanwhile
        if self._loaded and segment * SEGMENT_ENTRIES < self.next_index:
            return True
        self.table = table
        self.next_index = segment * SEGMENT_ENTRIES
        self.directory, self._opened_at = directory, opened_at
        self._elected = None
        self.last = None
        self._loaded = True
        self._listener.table_loaded()
        return True

    def _trouble(self, doing: str, error: OSError) -> AuthorityUnreachable:
        return AuthorityUnreachable(
            f"could not {doing} under {self.layout.base}: {error}",
            root=self.layout.root,
            seconds=0.0,
        )
