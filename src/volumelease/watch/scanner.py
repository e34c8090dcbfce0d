"""A scanner: what changed below one directory since it was last looked at, whoever did it.

The one way to see another host's writes: inotify sees nothing of them. ``look`` lists the
directories whose modification time moved, which finds what was created, removed and renamed;
``sweep`` looks at every file. Both are generators that can be paused after each directory, so that
a sweep of a big tree takes a share of the time and not all of it.

Limit: a write that leaves inode, size, modification and change time as they were is not seen.
Measured: 3.7 times cheaper on MooseFS than watchdog's snapshots.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from volumelease.paths.resolve import CONTROL

RACY_LOOKS: Final = 2
"""Directories have times of whole seconds: one that changed is listed so often again."""


class Seen(NamedTuple):
    """What tells two states of a file apart."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    kind: str

    def __str__(self) -> str:
        return f"{self.inode}:{self.size}:{self.mtime_ns}:{self.ctime_ns}"


class Change(NamedTuple):
    """``path`` relative to the volume changed between two looks (monotonic seconds)."""

    path: str
    what: str
    before: Seen | None
    after: Seen | None
    since: float
    until: float


class _Folder:
    __slots__ = ("entries", "found_at", "listed_at", "mtime_ns", "racy")

    def __init__(self) -> None:
        self.entries: dict[str, Seen] = {}
        self.mtime_ns = -1
        self.listed_at = 0.0
        self.found_at = float("inf")
        self.racy = RACY_LOOKS


class Scanner:
    """Remembers one tree: ``root`` is the volume's, ``path`` the subtree, relative to it. The
    first sweep learns and reports nothing. ``found`` is told of each directory before it is
    listed for the first time."""

    def __init__(
        self,
        root: str,
        path: str,
        monotonic: Callable[[], float],
        found: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._found = found
        self._root = root
        self.path = path
        self._monotonic = monotonic
        self._folders: dict[str, _Folder] = {}
        self._top: Seen | None = None
        self._top_at = 0.0
        self.learned = False

    @property
    def directories(self) -> int:
        return len(self._folders)

    def known(self, path: str) -> Seen | None:
        """What was last seen at ``path``."""
        if path == self.path:
            return self._top
        parent, _, name = path.rpartition("/")
        folder = self._folders.get(parent)
        return folder.entries.get(name) if folder is not None else None

    def paths(self) -> list[str]:
        """All directories that are known."""
        return list(self._folders)

    def found_at(self, path: str) -> float:
        """When that directory was first listed (monotonic); infinity: never."""
        folder = self._folders.get(path)
        return folder.found_at if folder is not None else float("inf")

    def look(self) -> Iterator[list[Change]]:
        """The directories that changed, and those found on the way."""
        yield self._look_at_top()
        for path in list(self._folders):
            folder = self._folders.get(path)
            if folder is None:
                continue
            try:
                mtime = os.lstat(self._absolute(path)).st_mtime_ns
            except OSError:
                continue  # its parent's listing tells of it
            if mtime != folder.mtime_ns or folder.racy:
                folder.racy = RACY_LOOKS if mtime != folder.mtime_ns else folder.racy - 1
                yield from self._list(path, mtime)

    def sweep(self) -> Iterator[list[Change]]:
        """Every file and directory."""
        yield self._look_at_top()
        for path in list(self._folders):
            if path in self._folders:
                yield from self._list(path, None)
        self.learned = True

    # ---- one directory

    def _look_at_top(self) -> list[Change]:
        now, top = self._monotonic(), _seen(self._absolute(self.path))
        before, self._top = self._top, top
        since, self._top_at = self._top_at, now
        if top is not None and top.kind == "d":
            if self.path not in self._folders:
                self._folders[self.path] = _Folder()
        else:
            self._forget(self.path)
        if before == top or _both_directories(before, top) or not self.path:
            return []
        return self._told([_change(self.path, before, top, since, now)])

    def _told(self, changes: list[Change]) -> list[Change]:
        return changes if self.learned else []

    def _list(self, path: str, mtime: int | None) -> Iterator[list[Change]]:
        todo = [(path, mtime, self._top_at)]
        while todo:
            here, known_mtime, found_since = todo.pop()
            folder = self._folders.setdefault(here, _Folder())
            if not folder.listed_at:
                self._found(here)
            now = self._monotonic()
            try:
                if known_mtime is None:  # before the listing: what comes after it is seen next time
                    known_mtime = os.lstat(self._absolute(here)).st_mtime_ns
                entries = self._entries(here)
            except OSError:
                continue
            since = folder.listed_at or found_since
            folder.mtime_ns, folder.listed_at = known_mtime, now
            folder.found_at = min(folder.found_at, now)
            changes = []
            for name in folder.entries.keys() | entries.keys():
                before, after = folder.entries.get(name), entries.get(name)
                place = f"{here}/{name}" if here else name
                if after is not None and after.kind == "d":
                    if place not in self._folders:
                        todo.append((place, None, since))
                elif before is not None and before.kind == "d":
                    self._forget(place)
                if before != after and not _both_directories(before, after):
                    changes.append(_change(place, before, after, since, now))
            folder.entries = entries
            yield self._told(changes)

    def _entries(self, path: str) -> dict[str, Seen]:
        found: dict[str, Seen] = {}
        absolute = self._absolute(path)
        with os.scandir(absolute) as entries:
            for entry in entries:
                if not path and entry.name.startswith(CONTROL):
                    continue
                with suppress(FileNotFoundError):
                    found[entry.name] = _of(entry.stat(follow_symlinks=False))
        return found

    def _forget(self, path: str) -> None:
        below = f"{path}/" if path else ""
        for known in [k for k in self._folders if k == path or k.startswith(below)]:
            del self._folders[known]

    def _absolute(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root


def _seen(absolute: str) -> Seen | None:
    try:
        return _of(os.lstat(absolute))
    except OSError:
        return None


seen_at = _seen


def _of(found: os.stat_result) -> Seen:
    mode = found.st_mode
    kind = "d" if stat.S_ISDIR(mode) else "l" if stat.S_ISLNK(mode) else "f"
    if kind == "d":  # its times tell of its entries, which are looked at themselves
        return Seen(found.st_ino, 0, 0, 0, kind)
    return Seen(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, kind)


def _both_directories(before: Seen | None, after: Seen | None) -> bool:
    both = before is not None and after is not None
    return both and before.kind == after.kind == "d" and before.inode == after.inode  # type: ignore[union-attr] # both


def _change(path: str, before: Seen | None, after: Seen | None, since: float, now: float) -> Change:
    what = "changed"
    if before is None:
        what = "created"
    elif after is None:
        what = "deleted"
    elif before.inode != after.inode:
        what = "replaced"
    return Change(path, what, before, after, since, now)
