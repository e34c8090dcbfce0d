"""What the whole fleet counted: the reports of its sessions, and the sum of those that are over.

``metrics/<session>``   the report of one session (``reports``)
``metrics/total-<n>``   a symlink to the file with the n-th sum; the highest number counts
``metrics/sum-<id>``    such a file: what ended sessions counted, and which sessions they were

A sum is decided as an entry of the log is: by one exclusive symlink whose number is never used
again. So of two who fold at once one wins, and the other begins anew from what the first one did.
The sum names the sessions that are in it, for a day: who dies between deciding and deleting leaves
reports that nobody counts a second time, and the next one deletes them; so does a report that
lands late.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from volumelease.clock import Clock
from volumelease.effects import (
    ListDirectory,
    ReadFile,
    ReadLink,
    Steps,
    Symlink,
    Unlink,
    WriteDurably,
)
from volumelease.errors import AuthorityUnreachable
from volumelease.tallies import Counts
from volumelease.wire.counts import decode_counts, encode_counts
from volumelease.wire.fields import decode_object, take, take_number

from .ground import trouble
from .layout import Layout

NEW: Final = ".new"
MANY: Final = 256
REMEMBERED_SECONDS: Final = 86_400.0
MOST_REMEMBERED: Final = 20_000
KEPT_TOTALS: Final = 8
"""How many decided sums stay: a number is never decided twice, even by who sees an old list."""

_TRIES: Final = 8
_SESSION: Final = re.compile(r"[0-9a-f]{16}\Z")
_TOTAL: Final = re.compile(r"total-([0-9]{16})\Z")


class _Moved(Exception):
    """Somebody folded meanwhile: look again."""


class Sum(NamedTuple):
    """The sum of sessions that are over, and when (the folder's wall clock) each came into it."""

    number: int
    counts: Counts
    folded: dict[str, float]


class Reported(NamedTuple):
    """What the fleet says: ``counts`` of all sessions there ever were, by who reads it now."""

    counts: Counts
    live: int
    ended: int


class Fleet:
    """Reads and folds the reports of one volume. Takes no part in leases."""

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self._layout = layout
        self._clock = clock
        self._folder = layout.folder("metrics")

    def read(self) -> Steps[Reported]:
        """All that was ever counted. Errors: ``AuthorityUnreachable``."""
        for _ in range(_TRIES):
            try:
                names = yield from self._names()
                total = yield from self._newest(names)
                counts = total.counts.copy()
                reports = _unfolded(names, total)
                for name in reports:
                    counts.add((yield from self._report(name)))
            except _Moved:
                continue
            return Reported(counts, len(reports), len(total.folded))
        raise self._restless()

    def fold_if_many(
        self, lives: Callable[[str], bool], look: Callable[[], Steps[None]]
    ) -> Steps[None]:
        """As ``fold``, where nobody else seems to do it. Errors: none."""
        with suppress(AuthorityUnreachable):
            names = yield from self._names()
            if len(names) >= MANY:
                yield from self.fold(lives, look)

    def fold(
        self, lives: Callable[[str], bool], look: Callable[[], Steps[None]] | None = None
    ) -> Steps[int]:
        """Bring the reports of sessions that are over into the sum, and delete them. ``lives``
        says who is in the table, as read after ``look``. Returns how many came into it.

        Errors: ``AuthorityUnreachable``; those of ``look``.
        """
        for _ in range(_TRIES):
            try:
                names = yield from self._names()
                if look is not None:
                    yield from look()  # after the names: who has a report has opened before
                total = yield from self._newest(names)
                over = [name for name in _unfolded(names, total) if not lives(name)]
                if over:
                    total = yield from self._decide(total, over)
            except _Moved:
                continue
            yield from self._tidy(names, total)
            return len(over)
        raise self._restless()

    # ---- reading

    def _names(self) -> Steps[list[str]]:
        try:
            names: list[str] = yield ListDirectory(self._folder)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return []
            raise trouble(self._layout, "list the reports", error) from error
        return names

    def _newest(self, names: Iterable[str]) -> Steps[Sum]:
        numbers = [int(match[1]) for match in map(_TOTAL.match, names) if match]
        if not numbers:
            return Sum(-1, Counts(), {})
        number = max(numbers)
        try:
            file: str = yield ReadLink(f"{self._folder}/{_total(number)}")
            content: bytes = yield ReadFile(f"{self._folder}/{file}")
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise _Moved from error
            raise trouble(self._layout, "read the reports", error) from error
        found = _decoded(number, content)
        if found is None:
            raise trouble(self._layout, "read the reports", OSError(errno.EIO, "a damaged sum"))
        return found

    def _report(self, session: str) -> Steps[Counts]:
        try:
            text: str = yield ReadLink(self._layout.report(session))
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise _Moved from error
            if error.errno == errno.EINVAL:
                return Counts()  # somebody else's file
            raise trouble(self._layout, "read the reports", error) from error
        return decode_counts(text) or Counts()

    # ---- folding

    def _decide(self, total: Sum, over: list[str]) -> Steps[Sum]:
        counts, now = total.counts.copy(), self._clock.wall()
        for name in over:
            with suppress(OSError):
                yield Unlink(self._layout.report(name) + NEW)  # so that no late rename follows
            counts.add((yield from self._report(name)))
        folded = {name: at for name, at in total.folded.items() if now - at < REMEMBERED_SECONDS}
        folded |= dict.fromkeys(over, now)
        folded = dict(list(folded.items())[-MOST_REMEMBERED:])
        mine = Sum(total.number + 1, counts, folded)
        file = f"sum-{os.urandom(8).hex()}"
        try:
            yield WriteDurably(f"{self._folder}/{file}", _encoded(mine))
        except OSError as error:
            with suppress(OSError):
                yield Unlink(f"{self._folder}/{file}")
            raise trouble(self._layout, "write the sum of the reports", error) from error
        place = f"{self._folder}/{_total(mine.number)}"
        with suppress(OSError):
            yield Symlink(file, place)
        try:
            decided: str = yield ReadLink(place)
        except OSError as error:
            raise _Moved from error
        if decided != file:
            with suppress(OSError):
                yield Unlink(f"{self._folder}/{file}")
            raise _Moved
        return mine

    def _tidy(self, names: list[str], decided: Sum) -> Steps[None]:
        """Delete what counts no more. Only what the newest sum names goes: a sum that was decided
        under a number that is over would name reports that no other sum has."""
        try:
            newest = yield from self._newest((yield from self._names()))
        except (_Moved, AuthorityUnreachable):
            return
        if newest.number < decided.number:
            return
        gone = [name for name in names if name.removesuffix(NEW) in newest.folded]
        keep = {_total(newest.number - back) for back in range(KEPT_TOTALS)}
        for name in sorted(name for name in names if _TOTAL.match(name) and name not in keep):
            with suppress(OSError):
                file: str = yield ReadLink(f"{self._folder}/{name}")
                gone += [name, file]
        for name in gone:
            with suppress(OSError):
                yield Unlink(f"{self._folder}/{name}")

    def _restless(self) -> AuthorityUnreachable:
        return AuthorityUnreachable(
            f"the reports under {self._folder} change faster than they can be read",
            root=self._layout.root,
            seconds=0.0,
        )


def _unfolded(names: Iterable[str], total: Sum) -> list[str]:
    return sorted(name for name in names if _SESSION.match(name) and name not in total.folded)


def _total(number: int) -> str:
    return f"total-{number:016d}"


def _encoded(total: Sum) -> bytes:
    said = {"counts": encode_counts(total.counts), "folded": total.folded}
    return json.dumps(said, separators=(",", ":")).encode()


def _decoded(number: int, content: bytes) -> Sum | None:
    try:
        said = decode_object(content.decode("ascii"))
        counts = decode_counts(take(said, "counts", str))
        named = take(said, "folded", dict)
        folded = {name: take_number(named, name) for name in named}
    except ValueError:
        return None
    return None if counts is None else Sum(number, counts, folded)
