"""Clearing away drafts that nobody writes any more and versions that were replaced.

A draft is nobody's when its session is over by a table that was read after the draft was seen, and
no unapplied publish names it. A version is deleted only if its public name leads elsewhere, and if
it was replaced, or never was public (``.draft``) and is nobody's, and that was noticed at least a
minute ago. A version without any mark is kept: somebody may have moved its link by hand.

What is to be deleted is renamed away first: the server decides who gets it, so a session that
resumes a draft and one that clears it away can't both have it.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import Final

from volumelease.clock import Clock
from volumelease.effects import ListDirectory, ReadLink, RemoveTree, Rename, Steps, Symlink, Unlink
from volumelease.wire.drafts import decode_owner

from .drafts import DRAFT, GONE, OWNER, PUBLIC, REPLACED, TAKEN, Fleet, session_of, unique_of
from .layout import Layout

VERSION_RETENTION_SECONDS: Final = 60.0
"""How long a replaced version stays: whoever resolved its public name before has so long to open
what is in it."""

RESUMABLE_SECONDS: Final = 24 * 3600.0
"""How long a dead writer's draft waits for somebody to resume it."""

DEAD: Final = ".dead."


class Collector:
    """Clears away for one session."""

    def __init__(self, name: str, replica: Fleet, clock: Clock, boot_id: str) -> None:
        self._name = name
        self._replica = replica
        self._layout: Layout = replica.layout
        self._clock = clock
        self._boot_id = boot_id

    def collect(self, seconds: float) -> Steps[None]:
        """Delete for at most about ``seconds``. Errors: those of reading the log."""
        until = self._clock.monotonic() + seconds
        stage = yield from self._listed("stage")
        versions = yield from self._listed("versions")
        if not stage and not versions:
            return
        # After the listings: whoever has something there opened its session before.
        yield from self._replica.catch_up()
        for unique in sorted({name_of(name) for name in stage}):
            if self._nobodys(unique):
                yield from self._clear_stage(unique, stage, until)
        for unique in sorted({name_of(name) for name in versions}):
            may_go = yield from self._may_go(unique, versions)
            if may_go:
                yield from self._clear(self._layout.version(unique), until)
                yield from self._unmark("versions", unique)

    def _listed(self, folder: str) -> Steps[set[str]]:
        try:
            names: list[str] = yield ListDirectory(self._layout.folder(folder))
        except OSError:
            return set()
        return set(names)

    def _nobodys(self, unique: str) -> bool:
        table = self._replica.table
        if session_of(unique) in table.sessions:
            return False
        return all(unique_of(one.source) != unique for one in table.pending.values())

    # ---- drafts

    def _clear_stage(self, unique: str, names: set[str], until: float) -> Steps[None]:
        whole = unique + OWNER in names and unique in names
        if whole and not (yield from self._unresumable(unique, names)):
            return
        for folder in (unique, unique + TAKEN):
            if {folder, folder + GONE} & names:
                yield from self._clear(self._layout.stage(folder), until)
        yield from self._unmark("stage", unique)

    def _unresumable(self, unique: str, names: set[str]) -> Steps[bool]:
        try:
            text: str = yield ReadLink(self._layout.stage(unique) + OWNER)
        except OSError:
            return False
        owner = decode_owner(text)
        if owner is None or not owner.resumable:
            return True
        mark = f"{unique}{DEAD}{self._boot_id}"
        return (yield from self._old("stage", mark, names, RESUMABLE_SECONDS))

    # ---- versions

    def _may_go(self, unique: str, names: set[str]) -> Steps[bool]:
        """Any doubt keeps it. A ``.draft`` alone proves nothing: the call that made it may have
        landed once more, after it was taken away."""
        if unique + GONE in names:
            return True
        replaced = any(name.startswith(unique + REPLACED) for name in names)
        if unique + DRAFT in names:
            if not self._nobodys(unique):
                return False
        elif not replaced:
            return False
        if not self._unnamed(unique):
            return False
        if unique + PUBLIC not in names and unique not in names:
            pass  # the second name of a file that was replaced: only that goes
        elif (yield from self._public(unique)):
            return False
        mark = f"{unique}{REPLACED}{self._boot_id}"
        return (yield from self._old("versions", mark, names, VERSION_RETENTION_SECONDS))

    def _unnamed(self, unique: str) -> bool:
        pending = self._replica.table.pending.values()
        return all(unique_of(one.source) != unique for one in pending)

    def _public(self, unique: str) -> Steps[bool]:
        """Whether its public name leads to it; any doubt counts as yes."""
        try:
            place: str = yield ReadLink(self._layout.version(unique) + PUBLIC)
        except OSError:
            return True
        try:
            leads: str = yield ReadLink(self._layout.public(place))
        except FileNotFoundError:
            return False
        except OSError as error:
            return error.errno != errno.EINVAL  # which says that something else stands there
        return leads.rpartition("/")[2] == unique

    # ---- both

    def _old(self, folder: str, mark: str, names: set[str], seconds: float) -> Steps[bool]:
        """Whether that mark, in the clock of this boot, is old enough; makes it if missing."""
        path = f"{self._layout.folder(folder)}/{mark}"
        now = self._clock.boottime()
        if mark not in names:
            with suppress(OSError):
                yield Symlink(repr(now), path)
            return False
        try:
            text: str = yield ReadLink(path)
            return now - float(text) >= seconds
        except (OSError, ValueError):
            return False

    def _clear(self, path: str, until: float) -> Steps[None]:
        with suppress(OSError):
            yield Rename(path, path + GONE)
        left = until - self._clock.monotonic()
        if left > 0:
            with suppress(OSError):
                yield RemoveTree(path + GONE, left)

    def _unmark(self, folder: str, unique: str) -> Steps[None]:
        """Remove the marks of what is gone; of what is not, they are needed once more."""
        left = yield from self._listed(folder)
        if {unique, unique + GONE, unique + TAKEN, unique + TAKEN + GONE} & left:
            return
        for name in sorted(left):
            if name.startswith(unique + "."):
                with suppress(OSError):
                    yield Unlink(f"{self._layout.folder(folder)}/{name}")


def name_of(name: str) -> str:
    """The draft or version that a name in ``stage`` or ``versions`` is of."""
    return name.partition(".")[0]
