"""Committing one record to the log, whatever happens to the calls.

A commit is ``symlink(record, N)`` where N is the first index without an entry. EVERY error of
that call means "unknown", EEXIST too: mounts resend a request whose answer was lost and then
answer EEXIST for one's own entry. So after an error, read N:

* our record: it is committed;
* another's: apply it and decide again for N + 1, for N is taken for ever;
* nothing: commit the SAME record at N again, until N is taken. An attempt that was given up can
  land at N only, so at most one of all attempts lands.

A call that took over five seconds may have gone into a directory that was retired meanwhile: it
is read back through a fresh path after the directory-entry cache of the mount is over.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, NamedTuple

from volumelease.authorities.answers import SessionOver
from volumelease.clock import Clock
from volumelease.core.liveness import ATTRIBUTE_CACHE_SECONDS
from volumelease.core.records import CLOSING_ENTRIES, SEGMENT_ENTRIES, Body, Entry
from volumelease.core.table import Outcome
from volumelease.effects import (
    EnterTurn,
    ListDirectory,
    Sleep,
    Steps,
    Symlink,
    Turn,
    Unlink,
    WriteDurably,
)
from volumelease.errors import AuthorityUnreachable, VolumeFull, VolumeUnsuitable
from volumelease.tallies import Tally
from volumelease.wire import entries, marks

from .courtesy import BEHIND_ENTRIES, Contender, Courtesy
from .layout import Layout
from .replica import Replica

SLOW_SECONDS: Final = 5.0
TURN_SECONDS: Final = 1.0

_CONFLICT: Final = ("log_conflicts_total",)
_NUMBERS_APART: Final = 1 << 20
"""More records than a predecessor could have had under way."""

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0
_FULL: Final = frozenset({errno.EDQUOT, errno.ENOSPC})
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class Committed(NamedTuple):
    """The record is the entry ``at`` that index. ``outcome`` is None when it landed in a part of
    the log that this worker only knows by its snapshot; ``void`` says what the snapshot knows."""

    at: int
    outcome: Outcome | None
    void: bool


class Committer:
    """Commits the records of one author, one at a time."""

    def __init__(
        self,
        replica: Replica,
        author: str,
        clock: Clock,
        turn: Turn,
        alive: Callable[[], bool],
        close_segment: Callable[[], Steps[None]],
        turnstile: Turn | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally
        self._replica = replica
        self._layout: Layout = replica.layout
        self._author = author
        self._clock = clock
        self._turn = turn
        self._alive = alive
        self._close_segment = close_segment
        self._courtesy = Courtesy(author, turnstile)
        self._number = 0
        self._awaited: dict[int, Committed | None] = {}
        self._wanted: dict[int, Callable[[], bool]] = {}
        self.commits = 0
        self.misses = 0

    # ---- what the replica learns

    def landed(self, index: int, entry: Entry, outcome: Outcome) -> None:
        """An entry of this author was read; a commit under way may be waiting for it."""
        if entry.number in self._awaited:
            void = bool(outcome.void or outcome.cycle)
            self._awaited[entry.number] = Committed(index, outcome, void)

    def go_on_after(self, number: int) -> None:
        """A predecessor used the numbers up to this one, and perhaps more that nobody has read
        yet; a record with a used one is void."""
        self._number = max(self._number, number + _NUMBERS_APART)

    def loaded(self) -> None:
        """The table came from a snapshot, which remembers each session's last records."""
        for number, known in self._awaited.items():
            index = self._replica.table.landed(self._author, number)
            if known is None and index is not None:
                void = index < 0
                self._awaited[number] = Committed(-1 - index if void else index, None, void)

    def unclaimed(self) -> set[int]:
        """Indexes of own records that landed and whose commit has not returned yet to one who
        still wants it: a call can hang for an hour after it landed."""
        return {
            done.at
            for number, done in self._awaited.items()
            if done is not None and self._wanted[number]()
        }

    @property
    def in_flight(self) -> bool:
        return bool(self._awaited)

    # ---- committing

    def commit(
        self,
        decide: Callable[[], Body | None],
        *,
        urgent: bool = False,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Steps[Committed | None]:
        """Commit what ``decide`` says, asking it again whenever the table has changed.

        ``decide`` answers either one and the same record each time, or None when there is
        nothing to commit any more: then None is returned. ``urgent`` records (those that let go)
        spend the reserve when the volume is full. ``wanted`` says whether anybody still waits.

        Errors: ``SessionOver``; ``VolumeFull``, ``VolumeUnsuitable`` (nothing was committed);
        ``AuthorityUnreachable``, ``LogDamaged``. Interrupted at any effect, the record may still
        land at the index it was tried at: the session then finds a request nobody waits for.
        """
        self._number += 1
        number = self._number
        if not self._turn.free():
            try:
                yield EnterTurn(self._turn, TURN_SECONDS)
            except BaseException:  # interrupted, perhaps right after it was had
                self._turn.leave()
                raise
        attempt = _Attempt(number, round(self._clock.wall(), 3), urgent)
        try:
            self._wanted[number] = wanted
            self._awaited[number] = None
            yield from self._courtesy.begin(attempt)
            return (yield from self._until_known(attempt, decide))
        finally:
            del self._awaited[number]
            del self._wanted[number]
            self._courtesy.end(attempt)
            self._turn.leave()

    def _until_known(
        self, attempt: _Attempt, decide: Callable[[], Body | None]
    ) -> Steps[Committed | None]:
        replica = self._replica
        while True:
            done = self._awaited[attempt.number]
            if done is not None:
                self.commits += 1
                if self._tally is not None and not attempt.noted:
                    self._tally.committed_in(self._clock.boottime() - attempt.began)
                return done
            if not replica.there():
                try:
                    yield from replica.arrive()
                except AuthorityUnreachable:
                    if not self._alive():
                        raise
                    yield from self._pause(attempt)
                continue
            if replica.place >= CLOSING_ENTRIES:
                yield from self._close_segment()
                continue
            body = decide()
            if body is None:
                return None
            if not self._alive():
                raise SessionOver("the session is lost", advice="Take the lease again")
            yield from self._try_at(replica.next_index, body, attempt)

    def _try_at(self, index: int, body: Body, attempt: _Attempt) -> Steps[None]:
        replica = self._replica
        directory = replica.directory
        entry = Entry(self._author, attempt.number, attempt.wall, body)
        text = entries.encode_entry(entry)
        mark = replica.mark
        assert mark is not None
        target = marks.seal(mark, text)
        if len(target) > entries.INLINE_BYTES:
            reference = entries.reference_to(text)
            target = marks.seal(mark, reference)
            yield from self._store(attempt, reference, text)
            if index != replica.next_index or directory is not replica.directory:
                return
        started = self._clock.boottime()
        trouble: OSError | None = None
        try:
            yield Symlink(target, str(index % SEGMENT_ENTRIES), directory)
        except OSError as error:
            trouble = error.with_traceback(None)  # which leads to this frame, and that to it
        ended = self._clock.boottime()
        slow = ended - started > SLOW_SECONDS
        attempt.began = attempt.began or started
        if trouble is None and not slow:
            read: Entry | None = entry
            if "\\u" in text:  # as every reader reads it: two escapes can come back as one letter
                read = entries.decode_entry(text)
            replica.committed(index, mark, read, target, started)
            if self._tally is not None:
                attempt.noted = True
                self._tally.committed_in(ended - attempt.began)
            return
        self.misses += 1
        if self._tally is not None:
            self._tally.note((_CONFLICT, 1.0))
        yield from self._settle(index, attempt, trouble, slow)

    def _settle(
        self, index: int, attempt: _Attempt, trouble: OSError | None, slow: bool
    ) -> Steps[None]:
        """Find out what became of an attempt, and make way for the next one."""
        replica = self._replica
        if slow:
            self._turn.leave()  # the other threads need not wait for what was slow here
            yield Sleep(ATTRIBUTE_CACHE_SECONDS)
            replica.distrust()
        if trouble is not None and trouble.errno == errno.EEXIST:
            yield from self._courtesy.missed(attempt)
        # The first time it was mostly one other entry, such as that of who waits for this release:
        # then the next index is free, and trying it costs no more than asking whether it is.
        first = trouble is not None and trouble.errno == errno.EEXIST and attempt.misses == 1
        try:
            beyond = index if first else None
            while not (yield from replica.reach_end(beyond, BEHIND_ENTRIES)):
                if not self._alive():
                    return  # the end can move on for ever, and a lost session needs it no more
                yield from self._courtesy.behind(attempt)
        except AuthorityUnreachable:
            yield from self._pause(attempt)
            replica.distrust()
            return
        if index != replica.next_index or trouble is None:
            return
        if trouble.errno in _FULL:
            if not (attempt.urgent and (yield from self.spend_reserve())):
                raise VolumeFull(f"{self._layout.root} is full: {trouble}", root=self._layout.root)
            return
        if trouble.errno in _FORBIDDEN:
            raise VolumeUnsuitable(
                f"{self._layout.base} can't be written: {trouble}",
                advice="Mount the volume writable and run as a user who may write it",
                root=self._layout.root,
            )
        replica.distrust()
        yield from self._pause(attempt)

    def _pause(self, attempt: _Attempt) -> Steps[None]:
        yield Sleep(attempt.pause)
        attempt.pause = min(attempt.pause * 2, _LONGEST_PAUSE)

    def _store(self, attempt: _Attempt, reference: str, text: str) -> Steps[None]:
        """Write a record that is too long for a symlink, before the entry that names it. Once:
        a reader of the entry must never find the file cut short by a second writing."""
        if attempt.stored == reference:
            return
        name = entries.referenced_file(reference)
        assert name is not None
        try:
            yield WriteDurably(self._layout.record(name), text.encode())
        except OSError as error:
            if error.errno in _FULL:
                raise VolumeFull(
                    f"{self._layout.root} is full: {error}", root=self._layout.root
                ) from error
            raise AuthorityUnreachable(
                f"could not write a record of {len(text)} bytes: {error}",
                root=self._layout.root,
                seconds=0.0,
            ) from error
        attempt.stored = reference

    def spend_reserve(self) -> Steps[bool]:
        """Free one directory entry that was kept for a full volume."""
        names: list[str] = yield from self._reserve_names()
        for name in names:
            try:
                yield Unlink(self._layout.reserve(name))
            except OSError:
                continue
            return True
        return False

    def _reserve_names(self) -> Steps[list[str]]:
        try:
            names: list[str] = yield ListDirectory(self._layout.folder("reserve"))
        except OSError:
            return []
        return names


class _Attempt(Contender):
    """What stays the same over all tries of one commit: so they all write the same record."""

    __slots__ = (
        "began",
        "noted",
        "number",
        "pause",
        "stored",
        "urgent",
        "wall",
    )

    def __init__(self, number: int, wall: float, urgent: bool) -> None:
        super().__init__()
        self.number = number
        self.wall = wall  # rounded before it is applied here, so that readers apply the same
        self.urgent = urgent
        self.stored = ""
        self.began = 0.0
        self.noted = False
        self.pause = _FIRST_PAUSE
