"""What of the log lies on the volume: which segments there are, and what they begin with."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, NamedTuple

from volumelease.clock import Clock
from volumelease.core.records import CLOSING_ENTRIES, FORMAT_VERSION, SEGMENT_ENTRIES, Entry
from volumelease.core.table import Table
from volumelease.effects import (
    Directory,
    ListDirectory,
    OpenDirectory,
    ReadFile,
    ReadLink,
    Sleep,
    Steps,
    Symlink,
)
from volumelease.errors import AuthorityUnreachable, LogDamaged
from volumelease.wire import entries, marks, snapshots

from .layout import FIRST_SEGMENT, SETTLED, Layout, number_of

READ_TRIES: Final = 5
RETRY_SECONDS: Final = 0.05
GONE: Final = frozenset({errno.ENOENT, errno.ESTALE, errno.ENOTDIR})
ALREADY: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY})

LEAST_AHEAD: Final = 8
"""How far ahead the end of the log is looked for first."""


class LogForgotten(LogDamaged):
    """The volume no longer holds what this worker read from it: a master crashed and forgot."""


def trouble(layout: Layout, doing: str, error: OSError) -> AuthorityUnreachable:
    return AuthorityUnreachable(
        f"could not {doing} under {layout.base}: {error}", root=layout.root, seconds=0.0
    )


def log_is_gone(layout: Layout) -> LogDamaged:
    folder = layout.folder("log")
    return LogDamaged(
        f"the log of the volume {layout.root} is gone: there is nothing in {folder}",
        advice="Stop the workers; bring it back from a backup, or make the volume anew: "
        f"volumelease uninstall {layout.root}, then volumelease init {layout.root}",
        where=folder,
    )


def segments_in(layout: Layout, folder: str) -> Steps[list[str]]:
    """The names of the segments in ``folder``, lowest number first."""
    try:
        names: list[str] = yield ListDirectory(layout.folder(folder))
    except OSError as error:
        if error.errno in GONE:
            return []
        raise trouble(layout, "list the log", error) from error
    return sorted((name for name in names if number_of(name) >= 0), key=_by_number)


def _by_number(name: str) -> tuple[int, str]:
    return number_of(name), name


def newest_settled(
    layout: Layout, names: list[str], above: int = -1, *, surely: bool = False
) -> Steps[str | None]:
    """The newest of ``names`` (as ``segments_in`` sorts them), with a number above ``above``, of
    which is known that everything that led to it is there for ever; None if there is none.

    A segment that is only the newest proves nothing: it may have been elected by entries that a
    crashed master forgot. With ``surely``, None is an answer of the volume and not of a mount that
    shows what such a master forgot (ESTALE): then ``AuthorityUnreachable``."""
    for name in reversed(names):
        if number_of(name) <= above:
            return None
        if name == FIRST_SEGMENT or (yield from is_settled(layout, name, surely=surely)):
            return name
    return None


def is_settled(layout: Layout, name: str, *, surely: bool = False) -> Steps[bool]:
    try:
        yield ReadLink(f"{layout.segment(name)}/{SETTLED}")
    except OSError as error:
        if error.errno in GONE | {errno.EINVAL} and not (surely and error.errno == errno.ESTALE):
            return False
        raise trouble(layout, "read the log", error) from error
    return True


def open_segment(layout: Layout, name: str) -> Steps[Directory | None]:
    """The directory of a segment, in use or retired. Errors: ``OSError``, but not that it is in
    neither place."""
    for path in (layout.segment(name), layout.retired(name)):
        try:
            directory: Directory = yield OpenDirectory(path)
        except OSError as error:
            if error.errno not in GONE:
                raise
        else:
            return directory
    return None


def open_retired(layout: Layout, name: str) -> Steps[Directory | None]:
    """The directory of a segment that was retired. Errors: none; what can't be opened is None."""
    try:
        directory: Directory = yield OpenDirectory(layout.retired(name))
    except OSError:
        return None
    return directory


def read_place(layout: Layout, name: str, directory: Directory) -> Steps[tuple[bool, str | None]]:
    """(whether there is something, its target or None for what is no symlink).

    Errors: ``AuthorityUnreachable``; its cause is what the last call said.
    """
    last: OSError | None = None
    for _ in range(READ_TRIES):
        try:
            target: str = yield ReadLink(name, directory)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False, None
            if error.errno == errno.EINVAL:
                return True, None
            last = error.with_traceback(None)
        else:
            if target:  # an entry being born can read as '' on some file systems
                return True, target
        yield Sleep(RETRY_SECONDS)
    if last is None:
        last = OSError(errno.EIO, "an entry of the log reads empty")
    raise trouble(layout, "read the log", last) from last


def read_record(layout: Layout, index: int, name: str, known: Callable[[], bool]) -> Steps[str]:
    """The record file that entry ``index`` names; "" if the entry is ``known`` meanwhile."""
    trouble = "its content is not what its name says"
    for _ in range(READ_TRIES):
        try:
            content: bytes = yield ReadFile(layout.record(name))
        except OSError as error:
            trouble = str(error)
        else:
            text = content.decode(errors="replace")
            if entries.reference_to(text) == entries.reference_to_name(name):
                return text
        if known():
            return ""
        yield Sleep(RETRY_SECONDS)
    raise LogDamaged(
        f"the record of log entry {index} can't be read: {trouble}", where=layout.record(name)
    )


def read_entry(
    layout: Layout, index: int, mark: int, target: str | None, known: Callable[[], bool]
) -> Steps[Entry | None]:
    """The entry ``index`` that ``target`` is, for who knows the history up to ``mark``; None for
    what is none, or follows another history, which a crashed master forgot. Errors, unless it is
    ``known`` meanwhile: ``LogDamaged``."""
    text = None if target is None else marks.unseal(mark, target)
    if target is None or text is None:
        return None
    record = entries.referenced_file(text)
    if record is not None:
        text = yield from read_record(layout, index, record, known)
    elif len(target) > entries.INLINE_BYTES:
        return None
    return entries.decode_entry(text)


class End(NamedTuple):
    """The log had not come to the index ``at`` when that was asked (boottime); it holds for who
    comes there in that ``segment``."""

    segment: str
    at: int
    asked_at: float


def find_end(
    layout: Layout, name: str, place: int, directory: Directory, clock: Clock
) -> Steps[End | None]:
    """Where the log ended, for who is at that ``place`` of segment ``name``; None if that can't be
    told now.

    A free place ends the log only in the newest segment, and there are no later ones while a place
    before the closing ones is free. A list of the segments can be old: it only says where to look.
    Errors: ``AuthorityUnreachable``.
    """
    end = yield from free_place(layout, name, place, directory, clock)
    if end is not None:
        return end
    names = yield from segments_in(layout, "log")
    if not names or number_of(names[-1]) <= number_of(name):
        return None
    try:
        newest = yield from open_segment(layout, names[-1])
    except OSError as error:
        raise trouble(layout, "open the log", error) from error
    if newest is None:
        return None
    return (yield from free_place(layout, names[-1], 0, newest, clock))


def free_place(
    layout: Layout, name: str, place: int, directory: Directory, clock: Clock
) -> Steps[End | None]:
    """A free place of an open segment, looking ever farther ahead: entries have no gaps.

    Errors: ``AuthorityUnreachable``.
    """
    ahead = LEAST_AHEAD
    while place + ahead < CLOSING_ENTRIES:
        asked_at = clock.boottime()
        found, _ = yield from read_place(layout, str(place + ahead), directory)
        if not found:
            at = number_of(name) * SEGMENT_ENTRIES + place + ahead
            return End(name, at, asked_at)
        ahead *= 2
    return None


class Beginning(NamedTuple):
    """What a segment begins with."""

    directory: Directory
    digest: str
    table: Table


def read_snapshot(layout: Layout, name: str) -> Steps[Beginning | None]:
    """The beginning of a segment in use; None if it isn't there or isn't whole.

    Errors: ``LogDamaged`` for a newer format, ``AuthorityUnreachable``.
    """
    try:
        directory: Directory = yield OpenDirectory(layout.segment(name))
        text: str = yield ReadLink("s0", directory)
        header = snapshots.decode_header(text)
        if header is not None and header.format > FORMAT_VERSION:
            raise LogDamaged(
                f"segment {name} has format {header.format}; this version of "
                f"volumelease reads up to {FORMAT_VERSION}",
                where=layout.segment(name),
                advice="Upgrade volumelease here: pip install -U volumelease",
            )
        chunks: list[str] = []
        for number in range(header.chunks if header else 0):
            chunk: str = yield ReadLink(f"s{number + 1}", directory)
            chunks.append(chunk)
    except OSError as error:
        if error.errno in GONE | {errno.EINVAL}:
            return None
        raise trouble(layout, "read the newest segment", error) from error
    table = snapshots.decode_snapshot(header, chunks) if header else None
    if table is None or header is None or header.segment != number_of(name):
        return None
    return Beginning(directory, header.digest, table)


def check_snapshot(layout: Layout, name: str, directory: Directory, table: Table) -> Steps[str]:
    """The digest that a segment begins with; ``table`` is what the log led to, and what is
    missing of it in the segment is written: a crashed master can forget part of a draft, and the
    entry that elected it lands all the same.

    Errors: ``LogDamaged`` if the segment begins with another table: two workers whose tables
    differ would each grant what the other holds.
    """
    # Before the first call: other flows of this session go on meanwhile and change the table.
    wanted = snapshots.encode_snapshot(table, number_of(name))
    found, text = yield from read_place(layout, "s0", directory)
    header = snapshots.decode_header(text) if found and text else None
    digest = snapshots.Header(wanted[0]).digest
    if found and (header is None or header.digest != digest):
        raise LogDamaged(
            f"segment {name} does not begin with the table that the log leads to",
            where=layout.segment(name),
        )
    if header is not None and header.chunks != len(wanted) - 1:
        return digest  # packed by another zlib; nothing of ours would fit into it
    missing = []
    for number in reversed(range(len(wanted))):
        there, _ = yield from read_place(layout, f"s{number}", directory)
        if not there:
            missing.append(number)
    if missing:
        names = yield from segments_in(layout, "log")
        newer = yield from newest_settled(layout, names, number_of(name), surely=True)
        if newer is not None:
            raise AuthorityUnreachable(
                f"segment {name} was retired long ago", root=layout.root, seconds=0.0
            )
    for number in missing:
        yield from _write(layout, directory, f"s{number}", wanted[number])
    return digest


def _write(layout: Layout, directory: Directory, name: str, target: str) -> Steps[None]:
    try:
        yield Symlink(target, name, directory)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise trouble(layout, "mend the newest segment", error) from error
