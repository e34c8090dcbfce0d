"""The log told again from its oldest entry that is still there, without touching anything.

A replica starts from the newest snapshot and renames an elected segment in place. Here it is shown
another view of the volume: the log begins with the oldest segment, retired ones lie where they lay
before, and a segment that was elected but not moved is seen as if it had been. Nothing that a
replay asks of the volume can change it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, NoReturn, Protocol, TypeVar

from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.invariants import breaches
from volumelease.core.records import CLOSING_ENTRIES, SEGMENT_ENTRIES, Entry
from volumelease.core.table import Outcome, Table
from volumelease.effects import (
    Effect,
    ListDirectory,
    MakeDirectory,
    OpenDirectory,
    ReadFile,
    ReadLink,
    Rename,
    Sleep,
    Steps,
    Symlink,
)
from volumelease.errors import AuthorityUnreachable, LogDamaged
from volumelease.wire import entries, marks

from .ground import log_is_gone
from .layout import SETTLED, Layout, number_of
from .listening import Nobody
from .replica import Replica

T = TypeVar("T")

_SHOWN: Final = 80
_PLACE: Final = re.compile(r"[0-9]{1,18}\Z")
_GONE: Final = frozenset({errno.ENOENT, errno.ESTALE, errno.ENOTDIR})
_EXPECTED_REFUSALS: Final = (records.Publish, records.Published)
"""Records that the rules refuse in the ordinary course of things. Of every other one its author
made sure that it is allowed at the very index it took, so that it is void shows a bug or a
forgery; and so does a session that goes on after its end."""


class Finding(NamedTuple):
    """One breach of the rules. ``entry`` is its index in the log, None for what has none."""

    kind: str
    entry: int | None
    detail: str


class Witness(Protocol):
    """Who hears the log told again."""

    def begins(self, index: int, table: Table) -> None:
        """The telling begins, or goes on after a hole, with this table."""

    def applied(self, index: int, entry: Entry, outcome: Outcome, table: Table) -> None:
        """``table`` is the one after the entry."""


class Replay:
    """One telling of one log.

    ``findings`` is what broke the rules. Where the log can't be read on, it goes on with the next
    segment's snapshot. Limit: what was retired long ago is gone; and a whole record that somebody
    forged in another's name looks like that one's own.
    """

    def __init__(self, layout: Layout, clock: Clock, witness: Witness) -> None:
        self.findings: list[Finding] = []
        self.first_index = 0
        self.next_index = 0
        self.table = Table()
        self._layout = layout
        self._clock = clock
        self._witness = witness
        self._view = _View(layout)
        self._ends: dict[int, int] = {}  # the place of the record that closed each segment

    def run(self) -> Steps[None]:
        """Tell it to its end. Errors: ``LogDamaged`` when there is no log at all,
        ``AuthorityUnreachable`` when the volume does not answer."""
        numbers = yield from self._view.look()
        while len(numbers) > 1 and (yield from self._view.is_left_over(numbers[0])):
            numbers = numbers[1:]
        if not numbers:
            raise log_is_gone(self._layout)
        self.first_index = numbers[0] * SEGMENT_ENTRIES
        start: int | None = numbers[0]
        begun: set[int] = set()
        while start is not None:
            yield from self._newcomers_could_start(start)
            start = yield from self._tell(start, begun)
        yield from self._look_behind_the_ends()
        self.findings += [Finding("table", None, w) for w in breaches(self.table, self.next_index)]

    def _tell(self, start: int, begun: set[int]) -> Steps[int | None]:
        """Tell the log from the snapshot of segment ``start``. Returns the segment to go on with
        behind what can't be read."""
        begun.add(start)
        self._view.first = start
        replica = _Teller(self)
        try:
            yield from self._view.through(replica.load())
            yield from self._to_the_tail(replica)
        except LogDamaged as error:
            segment = max(start, replica.segment)
            if (yield from self._view.still_there(start)):
                index = max(start * SEGMENT_ENTRIES, replica.next_index)
                self.find(_kind(error, self._layout), index, error.what)
            if replica.place == 0 and segment not in begun:
                return segment  # its snapshot is not what the log leads to, but newcomers have it
            return (yield from self._next_after(segment, begun))
        finally:
            if replica.next_index >= self.next_index:
                self.next_index, self.table = replica.next_index, replica.table
        return (yield from self._next_after(replica.segment, begun))

    def _to_the_tail(self, replica: _Teller) -> Steps[None]:
        while True:
            yield from self._view.through(replica.catch_up())
            index = replica.next_index
            missing = yield from self._goes_on_behind(replica)
            if not missing:
                return
            # Only now is it sure that the entry was not just late: what lies behind it was read.
            yield from self._view.through(replica.catch_up())
            if replica.next_index == index:
                if (yield from self._view.still_there(replica.segment)):
                    self.find("gap", index, f"there is no entry {index}, but {missing} behind it")
                return

    def _goes_on_behind(self, replica: _Teller) -> Steps[str]:
        """What there is of the log behind the place that the replica waits for, in words."""
        numbers = yield from self._view.look()
        places = yield from self._view.places(replica.segment)
        behind = [place for place in places if place > replica.place]
        if behind:
            return f"entry {replica.segment * SEGMENT_ENTRIES + behind[0]}"
        later = [number for number in numbers if number > replica.segment]
        return f"segment {later[0]}" if later else ""

    def _next_after(self, segment: int, begun: set[int]) -> Steps[int | None]:
        numbers = yield from self._view.look()
        return next((n for n in numbers if n > segment and n not in begun), None)

    def _newcomers_could_start(self, first: int) -> Steps[None]:
        """Every snapshot must be whole, not only that from which the telling starts."""
        for number in (yield from self._view.look()):
            if number <= first or number in self._view.checked:
                continue
            self._view.checked.add(number)
            self._view.first = number
            reader = Replica(self._layout, self._clock, Nobody())
            try:
                yield from self._view.through(reader.load())
            except LogDamaged:
                if (yield from self._view.still_there(number)):
                    self.find(
                        "snapshot", number * SEGMENT_ENTRIES, f"segment {number} begins with none"
                    )
                continue
            for breach in breaches(reader.table, number * SEGMENT_ENTRIES):
                self.find("snapshot", number * SEGMENT_ENTRIES, f"segment {number}: {breach}")

    def _look_behind_the_ends(self) -> Steps[None]:
        """Nobody commits behind the record that closed a segment."""
        for segment, end in sorted(self._ends.items()):
            for place in (yield from self._view.places(segment)):
                if place > end:
                    index = segment * SEGMENT_ENTRIES + place
                    self.find("misplaced", index, "lies behind the end of its segment")

    # ---- what the replica comes across

    def find(self, kind: str, index: int | None, detail: str) -> None:
        self.findings.append(Finding(kind, index, detail))

    def heard(self, index: int, entry: Entry, outcome: Outcome, table: Table) -> None:
        if outcome.void and not isinstance(entry.body, _EXPECTED_REFUSALS):
            self.find("void", index, f"{_told(entry)}: {outcome.void}")
        self._witness.applied(index, entry, outcome, table)

    def began(self, index: int, table: Table) -> None:
        for breach in breaches(table, index):
            self.find("snapshot", index, f"segment {index // SEGMENT_ENTRIES}: {breach}")
        self._witness.begins(index, table)

    def passed(self, index: int, mark: int, entry: Entry | None, target: str | None) -> None:
        """An entry that reached no table and closed nothing."""
        if entry is None and _of_another_history(mark, target):
            self.find("forgotten", index, "follows entries that a crashed master forgot")
        elif entry is None:
            what = "no symlink" if target is None else repr(target[:_SHOWN])
            self.find("garbage", index, what)
        else:
            self.find("misplaced", index, _told(entry))

    def closed(self, index: int) -> None:
        self._ends[index // SEGMENT_ENTRIES] = index % SEGMENT_ENTRIES

    def replica_parts(self) -> tuple[Layout, Clock]:
        return self._layout, self._clock


class _Teller(Replica):
    """A replica that tells what it reads."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._heard = -1
        super().__init__(*replay.replica_parts(), self)

    def entry_applied(self, index: int, entry: Entry, outcome: Outcome) -> None:
        self._heard = index
        self._replay.heard(index, entry, outcome, self.table)

    def table_loaded(self) -> None:
        self._replay.began(self.next_index, self.table)

    def apply(
        self, index: int, mark: int, entry: Entry | None, target: str | None, asked_at: float
    ) -> None:
        segment, fresh = self.segment, index == self.next_index
        super().apply(index, mark, entry, target, asked_at)
        if not fresh or self._heard == index:
            return
        closing = index % SEGMENT_ENTRIES >= CLOSING_ENTRIES
        if self.segment != segment and closing and entry is not None:
            self._replay.closed(index)
        else:
            self._replay.passed(index, mark, entry, target)


class _View:
    """The volume as a replay shows it to a replica. Asks only what changes nothing."""

    def __init__(self, layout: Layout) -> None:
        self.first = 0
        self.checked: set[int] = set()
        self._log = layout.folder("log")
        self._retired = layout.folder("retired")
        self._paths: dict[int, str] = {}
        self._moved: dict[str, str] = {}

    def look(self) -> Steps[list[int]]:
        """The segments there are, oldest first."""
        self._paths = {}
        for folder in (self._retired, self._log):
            for name in sorted((yield from self._names(folder))):
                number = number_of(name)
                if number >= 0 and (yield from self._is_better(number, f"{folder}/{name}")):
                    self._paths[number] = f"{folder}/{name}"
        return sorted(self._paths)

    def _is_better(self, number: int, path: str) -> Steps[bool]:
        """Of two segments with one number, one was elected by entries that a crashed master
        forgot: the other is the one that was settled."""
        if number not in self._paths:
            return True
        try:
            yield ReadLink(f"{path}/{SETTLED}")
        except OSError:
            return False
        return True

    def is_left_over(self, segment: int) -> Steps[bool]:
        """Whether there is nothing in it: what a late call made of a segment deleted long ago."""
        path = self._paths.get(segment)
        return path is not None and not (yield from self._names(path))

    def places(self, segment: int) -> Steps[list[int]]:
        """The places of that segment that are taken, in order."""
        path = self._paths.get(segment)
        names = [] if path is None else (yield from self._names(path))
        return sorted(int(name) for name in names if _PLACE.match(name))

    def still_there(self, segment: int) -> Steps[bool]:
        """Old segments are deleted while they are read: what they lacked then is no finding."""
        return segment in (yield from self.look())

    def _names(self, folder: str) -> Steps[list[str]]:
        try:
            names: list[str] = yield ListDirectory(folder)
        except OSError as error:
            if error.errno in _GONE:
                return []
            raise AuthorityUnreachable(str(error), root=folder, seconds=0.0) from error
        return names

    def through(self, steps: Steps[T]) -> Steps[T]:
        """Run a protocol of a replica on this view. Returns what it returns."""
        answer: Any = None
        trouble: OSError | None = None
        while True:
            try:
                effect = steps.send(answer) if trouble is None else steps.throw(trouble)
            except StopIteration as finished:
                result: T = finished.value
                return result
            answer = trouble = None
            try:
                answer = yield from self._answer(effect)
            except OSError as error:
                trouble = error

    def _answer(self, effect: Effect) -> Steps[Any]:
        match effect:
            case ListDirectory(path) if path == self._log:
                return [name for name in self._shown() if number_of(name) == self.first]
            case ReadLink(path, None) if path.endswith(f"/{SETTLED}"):
                if number_of(path.split("/")[-2]) != self.first:
                    raise OSError(errno.ENOENT, "the telling starts with another segment")
                return "shown as settled"
            case Symlink():  # what a snapshot lacks is a finding of its own
                raise OSError(errno.EEXIST, "shown as mended")
            case MakeDirectory(path):
                raise LogDamaged(f"{path} was elected and is nowhere", where=path)
            case OpenDirectory(path):
                return (yield from self._open(path))
            case Rename(source, target):
                yield OpenDirectory(source)  # fails if there is nothing to move
                self._moved[target] = source
                return None
            case ReadLink() | ReadFile() | ListDirectory() | Sleep():
                return (yield effect)
            case _:
                _forbidden(effect)

    def _shown(self) -> Iterator[str]:
        return (path.rpartition("/")[2] for path in self._paths.values())

    def _open(self, path: str) -> Steps[Any]:
        folder, _, name = path.rpartition("/")
        candidates = [path]
        if folder == self._log:
            # Retired first: a late rename can leave an empty directory under the old name.
            candidates = [f"{self._retired}/{name}", path, self._moved.get(path, path)]
        for candidate in candidates[:-1]:
            try:
                return (yield OpenDirectory(candidate))
            except OSError as error:
                if error.errno not in _GONE:
                    raise
        return (yield OpenDirectory(candidates[-1]))


def _of_another_history(mark: int, target: str | None) -> bool:
    """Whether it is a record behind another mark than that of the log as it stands."""
    if target is None or marks.unseal(mark, target) is not None:
        return False
    return entries.decode_entry(target[marks.MARK_LETTERS :]) is not None


def _forbidden(effect: Effect) -> NoReturn:
    raise AssertionError(f"a replay must not ask for {type(effect).__name__}")


def _kind(error: LogDamaged, layout: Layout) -> str:
    if str(error.facts["where"]).startswith(layout.folder("records")):
        return "record"
    return "snapshot" if "begin with" in error.what else "damage"


def _told(entry: Entry) -> str:
    return f"{type(entry.body).__name__.lower()} of session {entry.author}"
