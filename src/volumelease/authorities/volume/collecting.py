"""Clearing away drafts that nobody writes any more and versions that were replaced.

A draft is nobody's when its session is over by a table that was read after the draft was seen, and
no unapplied publish names it. A version is deleted only if its public name leads elsewhere, and if
it was replaced, or never was public (``.draft``) and is nobody's, and that was noticed at least a
minute ago. A version without any mark is kept: somebody may have moved its link by hand. What its
writer had moved in to be published is kept in ``audit`` (``keeping``).

What is to be deleted is renamed away first: the server decides who gets it, so a session that
resumes a draft and one that clears it away can't both have it.

It is a chore between two beats, so it must end in time whatever lies there: one listing shows what
is gone, for all that was deleted since, and what was not reached comes first the next time.
"""

from __future__ import annotations

import errno
from bisect import bisect_left
from contextlib import suppress
from typing import Final, TypeAlias

from volumelease.clock import Clock
from volumelease.effects import ListDirectory, ReadLink, RemoveTree, Rename, Steps, Symlink, Unlink
from volumelease.wire.drafts import decode_owner
from volumelease.wire.moments import decode_moment, encode_moment

from .drafts import DRAFT, GONE, PUBLIC, REPLACED, Fleet, session_of, unique_of
from .keeping import keep, keep_whole
from .layout import Layout
from .resuming import OWNER, TAKEN

VERSION_RETENTION_SECONDS: Final = 60.0
"""How long a replaced version stays: whoever resolved its public name before has so long to open
what is in it."""

RESUMABLE_SECONDS: Final = 24 * 3600.0
"""How long a dead writer's draft waits for somebody to resume it."""

DEAD: Final = ".dead."

LEAST_SHARE: Final = 8
"""The part of its time that each half of the work gets even if the listings took all: else a
folder that has grown too long would never shrink."""

Item: TypeAlias = tuple[str, str]
"""A folder, and the name of a draft or version in it."""


class Collector:
    """Clears away for one session."""

    def __init__(self, name: str, replica: Fleet, clock: Clock, boot_id: str) -> None:
        self.backlog = False
        """Whether the last time left something that could be deleted already."""
        self._first: Item = ("", "")
        self._young: dict[Item, float] = {}
        """When (boottime) what was noticed too short a time ago is worth another look."""
        self._name = name
        self._replica = replica
        self._layout: Layout = replica.layout
        self._clock = clock
        self._boot_id = boot_id

    def collect(self, seconds: float) -> Steps[None]:
        """Delete for at most about ``seconds``, and go on next time where this one stopped.

        Limit: a listing and a reading of the log are not divided; if they take longer, a quarter
        of ``seconds`` is worked after them. Errors: those of reading the log.
        """
        began = self._clock.monotonic()
        self.backlog = False
        stage = yield from self._listed("stage")
        versions = yield from self._listed("versions")
        if not stage and not versions:
            return
        # After the listings: whoever has something there opened its session before.
        yield from self._replica.catch_up()
        items = sorted(
            {("stage", name_of(name)) for name in stage}
            | {("versions", name_of(name)) for name in versions}
        )
        start = bisect_left(items, self._first)
        self._young = {item: self._young[item] for item in items if item in self._young}
        least, now = seconds / LEAST_SHARE, self._clock.monotonic()
        until = max((now + began + seconds) / 2, now + least)
        todo = items[start:] + items[:start]
        cleared = yield from self._clear_some(todo, stage, versions, until)
        if cleared:
            yield from self._unmark_some(cleared, began + seconds, least)

    def _clear_some(
        self, todo: list[Item], stage: set[str], versions: set[str], until: float
    ) -> Steps[list[Item]]:
        """Delete until then. Returns of what nothing but marks is left."""
        cleared: list[Item] = []
        now = self._clock.boottime()
        for item in todo:
            if now < self._young.get(item, now):
                continue
            if self._clock.monotonic() >= until:
                self._stop_before(item)
                return cleared
            folder, unique = item
            if folder == "stage":
                gone = self._nobodys(unique) and (
                    yield from self._clear_stage(unique, stage, until)
                )
            else:
                gone = (yield from self._may_go(unique, versions)) and (
                    yield from self._clear(self._layout.version(unique), until)
                )
            if gone:
                cleared.append(item)
        self._first = ("", "")
        return cleared

    def _unmark_some(self, cleared: list[Item], until: float, least: float) -> Steps[None]:
        left: dict[str, dict[str, list[str]]] = {}
        for folder in sorted({folder for folder, _ in cleared}):
            left[folder] = {}
            for name in (yield from self._listed(folder)):
                left[folder].setdefault(name_of(name), []).append(name)
        until = max(until, self._clock.monotonic() + least)
        for folder, unique in cleared:
            if self._clock.monotonic() >= until:
                self._stop_before((folder, unique))
                return
            yield from self._unmark(folder, unique, left[folder].get(unique, []))

    def _stop_before(self, item: Item) -> None:
        self._first, self.backlog = item, True

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

    def _clear_stage(self, unique: str, names: set[str], until: float) -> Steps[bool]:
        try:
            text: str = yield ReadLink(self._layout.stage(unique) + OWNER)
        except OSError as error:
            if error.errno != errno.ENOENT or unique + OWNER in names:
                return False
            text = ""
        owner = decode_owner(text)
        if owner is not None and owner.moved_in:
            return (yield from self._kept(unique, names))
        if owner is not None and owner.resumable and unique in names:
            mark = f"{unique}{DEAD}{self._boot_id}"
            if not (yield from self._old("stage", mark, names, RESUMABLE_SECONDS)):
                return False
        gone = True
        for folder in (unique, unique + TAKEN):
            if {folder, folder + GONE} & names:
                gone &= yield from self._clear(self._layout.stage(folder), until)
        return gone

    def _kept(self, unique: str, names: set[str]) -> Steps[bool]:
        """Keep what was moved in. Returns whether nothing of it is left here, nor can come here:
        until then its owner stays, who says that it is no copy."""
        folders = [name for name in (unique, unique + GONE) if name in names]
        places = [self._layout.stage(name) for name in folders]
        if not (yield from keep(self._layout, unique, places)):
            return False
        # Only now: what was moved on from there has arrived, for there is nothing to move any more.
        version = self._layout.version(unique)
        try:
            yield ReadLink(version + DRAFT)
        except OSError as error:
            return error.errno == errno.ENOENT  # never made a version, or public since
        leads = yield from self._leads(unique)
        if leads is False:
            return (yield from keep_whole(self._layout, unique, version))
        return bool(leads)

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
        if unique + DRAFT in names and (yield from self._moved_in(unique)):
            return False  # until it is kept (``_kept``), which may have failed so far
        mark = f"{unique}{REPLACED}{self._boot_id}"
        return (yield from self._old("versions", mark, names, VERSION_RETENTION_SECONDS))

    def _unnamed(self, unique: str) -> bool:
        pending = self._replica.table.pending.values()
        return all(unique_of(one.source) != unique for one in pending)

    def _moved_in(self, unique: str) -> Steps[bool]:
        """Whether it was written elsewhere and nobody has kept it; any doubt counts as yes."""
        try:
            text: str = yield ReadLink(self._layout.stage(unique) + OWNER)
        except OSError as error:
            return error.errno != errno.ENOENT
        owner = decode_owner(text)
        return owner is not None and owner.moved_in

    def _public(self, unique: str) -> Steps[bool]:
        """Whether its public name leads to it; any doubt counts as yes."""
        return (yield from self._leads(unique)) is not False

    def _leads(self, unique: str) -> Steps[bool | None]:
        """Whether its public name leads to it; None for any doubt."""
        try:
            place: str = yield ReadLink(self._layout.version(unique) + PUBLIC)
        except OSError:
            return None
        try:
            leads: str = yield ReadLink(self._layout.public(place))
        except FileNotFoundError:
            return False
        except OSError as error:
            # EINVAL says that something else stands there.
            return False if error.errno == errno.EINVAL else None
        return leads.rpartition("/")[2] == unique

    # ---- both

    def _old(self, folder: str, mark: str, names: set[str], seconds: float) -> Steps[bool]:
        """Whether that mark, in the clock of this boot, is old enough; makes it if missing."""
        path = f"{self._layout.folder(folder)}/{mark}"
        since = now = self._clock.boottime()
        try:
            if mark in names:
                text: str = yield ReadLink(path)
                noted = decode_moment(text)
                if noted is None:
                    return False
                since = noted
            else:
                yield Symlink(encode_moment(now), path)
        except OSError:
            return False
        if now - since >= seconds:
            return True
        self._young[folder, name_of(mark)] = since + seconds
        return False

    def _clear(self, path: str, until: float) -> Steps[bool]:
        """Returns whether nothing of it is left."""
        with suppress(OSError):
            yield Rename(path, path + GONE)
        gone = False
        with suppress(OSError):
            gone = yield RemoveTree(path + GONE, max(0.0, until - self._clock.monotonic()))
            self.backlog |= not gone
        return gone

    def _unmark(self, folder: str, unique: str, left: list[str]) -> Steps[None]:
        """Remove the marks of what is gone; of what is not, they are needed once more. Last the
        one that says it was replaced: with it, whoever finds others left goes on."""
        if {unique, unique + GONE, unique + TAKEN, unique + TAKEN + GONE} & set(left):
            return
        for name in sorted(left, key=lambda name: (name.startswith(unique + REPLACED), name)):
            if name != unique:
                with suppress(OSError):
                    yield Unlink(f"{self._layout.folder(folder)}/{name}")


def name_of(name: str) -> str:
    """The draft or version that a name in ``stage`` or ``versions`` is of."""
    return name.partition(".")[0]
