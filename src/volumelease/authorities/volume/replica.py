"""One worker's copy of the log: reads entries in order and applies them to the table.

An entry's index is ``segment * 256 + place``. A segment is closed by the first valid ``Next`` at
place 240 or later, however many void ones come before it; the next entry is then place 0 of the
following segment.

The steps between two effects are atomic (the driver sees to it), but other flows of this session
run between them. So after every effect, what was true before is looked at again.
"""

from __future__ import annotations

import errno
from typing import Final

from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.records import CLOSING_ENTRIES, SEGMENT_ENTRIES, Entry
from volumelease.core.table import Table
from volumelease.effects import Directory, MakeDirectory, OpenDirectory, Rename, Sleep, Steps
from volumelease.errors import AuthorityUnreachable, LogDamaged
from volumelease.wire import marks

from . import ground
from .ground import ALREADY, GONE, READ_TRIES, RETRY_SECONDS, LogForgotten
from .layout import Layout, number_of
from .listening import Listener, Nobody
from .trail import Step, Trail

TRUST_SECONDS: Final = 5.0
"""How long an open segment directory is used before its path is looked up again, and how long an
answer may take. Must stay well below the least retention: a directory whose entries were deleted
would take commits again."""

READ_IN_A_ROW: Final = 8
"""So many entries are read before the end of the log is looked for, and then ever more."""


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
        self.name = ""
        """The segment that ``next_index`` is in."""
        self.mark: int | None = None
        """The running mark at ``next_index``; None until the segment's beginning was read."""
        self.directory: Directory | None = None
        """Never set while ``mark`` is None."""
        self.trail = Trail(layout, clock)
        self.garbage = 0
        self._clock = clock
        self._listener = listener
        self._opened_at = 0.0
        self._first = 0
        self._complete_at = float("-inf")
        """Every entry that was there then (boottime) has been applied: the place after the last
        of them was still free."""
        self._last: str | None = None
        """The entry before ``next_index``, if that is in this segment."""
        self._loaded = False
        self._torn = 0
        """The index after the entry that was applied by half; 0: none was."""

    @property
    def segment(self) -> int:
        return self._first // SEGMENT_ENTRIES

    @property
    def place(self) -> int:
        """The next place of the segment; can lie beyond the last index while it isn't closed."""
        return self.next_index - self._first

    def distrust(self) -> None:
        """Look the segment up by its path before it is used again."""
        self.directory = None

    # ---- reading

    def catch_up(self) -> Steps[None]:
        """Apply every entry that was there when this was called.

        The end of the log can move on as fast as it is read: whoever ran after it would beat too
        late. Errors: ``AuthorityUnreachable`` when the volume does not answer properly,
        ``LogDamaged``.
        """
        called_at = self._clock.boottime()
        read, look_at = 0, READ_IN_A_ROW
        end: ground.End | None = None
        while self._complete_at <= called_at:
            if (yield from self._read_on()):
                return
            read += 1
            if end is not None and self.next_index >= end.at:
                if end.segment == self.name:
                    self._know_all_at(end.asked_at)
                end = None  # else it was the end of another history
            elif end is None and read >= look_at and self.directory is not None:
                look_at = 2 * read
                end = yield from ground.find_end(
                    self.layout, self.name, self.place, self.directory, self._clock
                )

    def reach_end(self, beyond: int | None = None, at_most: int | None = None) -> Steps[bool]:
        """Apply entries until none is next, which is where the next one can be committed; with
        ``beyond``, no more when one after that index is next. Returns whether ``at_most`` so many
        calls were enough. Errors: those of ``catch_up``."""
        while (beyond is None or self.next_index <= beyond) and at_most != 0:
            if (yield from self._read_on()):
                return True
            at_most = None if at_most is None else at_most - 1
        return at_most != 0

    def _read_on(self) -> Steps[bool]:
        """Apply the next entry. Returns whether there was none."""
        yield from self.arrive()
        index, name, directory = self.next_index, self.name, self.directory
        if directory is None:
            return False
        asked_at = self._clock.boottime()
        found, target = yield from self._read(str(self.place), directory)
        if found:
            yield from self._take(index, target, name, asked_at)
        elif self.next_index >= index:
            self._know_all_at(asked_at)
            return True
        return False

    def _know_all_at(self, moment: float) -> None:
        self._complete_at = max(self._complete_at, moment)

    def there(self) -> bool:
        """Whether ``arrive`` would have nothing to do."""
        fresh = self._clock.boottime() - self._opened_at < TRUST_SECONDS
        return fresh and self.directory is not None and self._loaded and not self._torn

    def arrive(self) -> Steps[None]:
        """Have the current segment's directory open, looked up by its path not long ago."""
        if not self._loaded:
            yield from self.load()
        tries = 0
        while True:
            if self._torn:
                yield from self._mend()
            now = self._clock.boottime()
            if self.directory is not None and now - self._opened_at < TRUST_SECONDS:
                return
            name = self.name
            try:
                directory: Directory = yield OpenDirectory(self.layout.segment(name))
            except OSError as error:
                if error.errno not in GONE:
                    raise ground.trouble(self.layout, "open the log", error) from error
                if name == self.name:
                    tries += 1
                    yield from self._find_segment(name, tries)
                continue
            if name == self.name and self.mark is None:
                yield from self._begin_segment(name, directory)
            elif not (yield from self._is_known(directory)) and name == self.name:
                tries += 1
                yield from self._find_segment(name, tries)
                continue
            if name == self.name and self.mark is not None:
                self.directory, self._opened_at = directory, now

    def _is_known(self, directory: Directory) -> Steps[bool]:
        """Whether that directory holds what was read last. A killed founder's late ``mkdir`` can
        bring the first segment back, empty, after it was retired: every place of it is free, and
        nobody reads what is committed there."""
        place, last = self.place, self._last
        before = str(place - 1) if place else "s0"
        found, target = yield from ground.read_place(self.layout, before, directory)
        return found and (not place or target == last)

    def _begin_segment(self, name: str, directory: Directory) -> Steps[None]:
        """The log led here: the segment must begin with the table that it led to."""
        if self._torn:
            return  # by another flow; that one says nothing
        try:
            digest = yield from ground.check_snapshot(self.layout, name, directory, self.table)
        except LogDamaged:
            yield from self.must_stand()
            raise
        if name == self.name and self.mark is None:
            self.mark = marks.begin(name, digest)
            self.trail.enter(name)

    def must_stand(self) -> Steps[None]:
        """Errors: ``LogForgotten`` if the volume no longer holds what was read from it."""
        try:
            why = yield from self.trail.difference()
        except OSError as error:
            raise ground.trouble(self.layout, "read the log", error) from error
        if why:
            raise LogForgotten(why, where=self.layout.segment(self.name))

    def _find_segment(self, name: str, tries: int) -> Steps[None]:
        """The segment is not in its place: it was elected and nobody moved it yet, or a crashed
        master forgot that somebody did; or it was retired long ago, or the log is gone."""
        try:
            yield Rename(self.layout.draft(name), self.layout.segment(name))
        except OSError as error:
            if error.errno not in GONE | ALREADY:
                raise ground.trouble(self.layout, "move the elected segment", error) from error
        else:
            return
        if tries <= 1:
            return  # whoever moved it may have been faster than our own look-up
        retired = yield from ground.open_retired(self.layout, name)
        if retired is not None and self.mark is not None:
            yield from self._replay_retired(name, retired)
        known = self.mark
        if self.name != name or self.there():
            return
        names = yield from ground.segments_in(self.layout, "log")
        begins = retired if known is None else None
        newer = yield from ground.newest_settled(
            self.layout, names, number_of(name), surely=begins is None
        )
        if (self.name, self.mark) != (name, known):
            return  # another flow found it meanwhile
        if newer is not None:
            yield from self._load_segment(newer)
        elif begins is not None:
            yield from self._begin_segment(name, begins)
        else:
            yield from self.must_stand()
            if (self.name, self.mark) == (name, known):
                yield from self._make_anew(name)

    def _make_anew(self, name: str) -> Steps[None]:
        """The entry that elected a segment is there, and its draft was forgotten: everybody who
        read the log so far knows what was in it."""
        if self.mark is not None:
            raise LogDamaged(f"segment {name} is gone", where=self.layout.segment(name))
        try:
            yield MakeDirectory(self.layout.segment(name))
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise ground.trouble(self.layout, "make the elected segment", error) from error

    def _replay_retired(self, name: str, directory: Directory) -> Steps[None]:
        """Read a retired segment to its end. Nothing is ever committed there: its free places
        are free only because it is being deleted."""
        while self.name == name and self.mark is not None and not self._torn:
            index, asked_at = self.next_index, self._clock.boottime()
            found, target = yield from self._read(str(self.place), directory)
            if not found:
                return
            yield from self._take(index, target, name, asked_at)

    def _read(self, name: str, directory: Directory) -> Steps[tuple[bool, str | None]]:
        """An answer that took long is asked for again: the master may have crashed since, and a
        beat looks only at what was known before it."""
        while True:
            asked_at = self._clock.boottime()
            try:
                answer = yield from ground.read_place(self.layout, name, directory)
            except AuthorityUnreachable:
                self.distrust()
                raise
            if self._clock.boottime() - asked_at < TRUST_SECONDS:
                return answer

    def _take(self, index: int, target: str | None, name: str, asked_at: float) -> Steps[None]:
        """``name`` is the segment it was read in: another flow may have left that since."""
        mark = self.mark
        if mark is None or index != self.next_index or name != self.name:
            return
        entry = yield from ground.read_entry(
            self.layout, index, mark, target, lambda: index < self.next_index
        )
        self.apply(index, mark, entry, target, asked_at)

    # ---- applying

    def apply(
        self, index: int, mark: int, entry: Entry | None, target: str | None, asked_at: float
    ) -> None:
        """Apply the entry of ``index``, unless another flow did so before. ``mark`` tells the
        history that the entry follows: this replica may know another one by now. ``asked_at`` is
        when the call that brought it was made (boottime)."""
        if index != self.next_index or self._torn or mark != self.mark:
            return
        # A signal handler may raise anywhere in here (Ctrl-C) and leave a table half changed.
        self._torn = index + 1
        place, target = index - self._first, target or ""
        self.trail.add(Step(index, self.name, place, target, entry is None), asked_at)
        self._apply(index, place, entry, mark, target)
        self._torn = 0

    def _mend(self) -> Steps[None]:
        """Put a whole table in the place of a torn one. It is read aside until it is no older: an
        older one may not know this session."""
        for _ in range(READ_TRIES):
            aside = Replica(self.layout, self._clock, Nobody())
            yield from aside.catch_up()
            yield from self.must_stand()
            if not self._torn:
                return  # another flow did it meanwhile
            if aside.next_index >= self._torn:
                kept = {"_listener": self._listener, "_torn": self._torn}
                vars(self).update(vars(aside) | kept)  # in one step, for handlers may raise here
                self._listener.table_loaded()
                self._torn = 0
                return
            yield Sleep(RETRY_SECONDS)
        raise LogDamaged("entries that were read are gone", where=self.layout.segment(self.name))

    def committed(self, index: int, mark: int, entry: Entry | None, target: str, at: float) -> None:
        """Apply an entry that this worker wrote itself, by a call that was made ``at`` then
        (boottime) and succeeded: so the place was free, and all before it was known."""
        self.apply(index, mark, entry, target, at)
        if self.next_index > index:
            self._know_all_at(at)

    def _apply(self, index: int, place: int, entry: Entry | None, mark: int, target: str) -> None:
        self.mark = marks.follow(mark, target)
        self._last = target or None
        if entry is None:
            self.garbage += 1
        elif isinstance(entry.body, records.Next):
            if place >= CLOSING_ENTRIES and self._elects(entry.body):
                self.name = entry.body.draft
                self.directory = self.mark = None
                self._first += SEGMENT_ENTRIES
                self.next_index = self._first
                return
        elif place < CLOSING_ENTRIES:
            self._listener.entry_applied(index, entry, self.table.apply(index, entry))
        self.next_index += 1

    def _elects(self, body: records.Next) -> bool:
        """Whoever the author is: a newcomer has to close a segment before it can open its
        session, when all others died right before they would have closed it."""
        return number_of(body.draft) == self.segment + 1

    # ---- starting from a snapshot

    def load(self) -> Steps[None]:
        """Start from the newest segment that is settled; what follows is read and judged.

        Errors: ``LogDamaged`` if there is none.
        """
        for _ in range(READ_TRIES):
            names = yield from ground.segments_in(self.layout, "log")
            if not names:
                raise ground.log_is_gone(self.layout)
            newest = yield from ground.newest_settled(self.layout, names)
            # None: what said so was forgotten. But nothing is retired without it, for long.
            if (yield from self._load_segment(newest or names[0])):
                return
            yield Sleep(RETRY_SECONDS)
        raise LogDamaged("the newest segment can't be read", where=self.layout.folder("log"))

    def skip_ahead(self) -> Steps[None]:
        """Go on from the newest settled segment if it is a later one than ours.

        A beat must know the whole tail before its deadline, and each entry read can cost a
        switch interval of the interpreter when another thread computes: so the way to the tail
        is kept short.
        """
        names = yield from ground.segments_in(self.layout, "log")
        newest = yield from ground.newest_settled(self.layout, names, self.segment)
        if newest is not None:
            yield from self._load_segment(newest)

    def _load_segment(self, name: str) -> Steps[bool]:
        opened_at = self._clock.boottime()
        before = self.name, self.next_index
        beginning = yield from ground.read_snapshot(self.layout, name)
        if beginning is None:
            return False  # retired meanwhile, or garbage
        if (self.name, self.next_index) != before:
            return True  # another flow went on meanwhile
        first = number_of(name) * SEGMENT_ENTRIES
        if self._loaded and first <= self._first:
            return True
        self.table = beginning.table
        self.next_index = self._first = first
        self.name = name
        self.mark = marks.begin(name, beginning.digest)
        self.directory, self._opened_at = beginning.directory, opened_at
        self.trail.start(name)
        self._complete_at = float("-inf")
        self._loaded = True
        self._listener.table_loaded()
        return True
