"""Rules about drafts, publishes and what may be cleared away."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from volumelease.authorities.volume import adopting, collecting, keeping, publishing
from volumelease.authorities.volume.adopting import Adopted, Adopting
from volumelease.authorities.volume.collecting import Collector
from volumelease.authorities.volume.drafts import ADOPTED, DRAFT, GONE, PUBLIC, Drafts, session_of
from volumelease.authorities.volume.insisting import make, move
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.publishing import Publishing
from volumelease.authorities.volume.requests import Requests
from volumelease.core import publishes, records
from volumelease.core.table import Pending
from volumelease.effects import (
    ListDirectory,
    MakeDirectory,
    RemoveTree,
    Rename,
    Steps,
    Symlink,
    Unlink,
)
from volumelease.errors import AuthorityUnreachable
from volumelease.model import Answer, Claim, Draft, Prepare

Patches = list[tuple[Any, str, Any]]


def draft_named_by_its_token() -> Patches:
    def name_for(self: Drafts, question: Prepare) -> str:
        return f"{self._name}-{question.token}"

    return [(Drafts, "_name_for", name_for)]


def released_unapplied() -> Patches:
    def settle_token(self: Publishing, token: int) -> Steps[None]:
        return
        yield

    return [
        (Publishing, "settle_token", settle_token),
        (Publishing, "unapplied", lambda self, token: False),
        (Publishing, "publish", _published_by_the_next),
    ]


def _published_by_the_next(self: Publishing, draft: Draft) -> Steps[Answer]:
    """Decide, and leave the rename to whoever comes next."""
    sealed = yield from self.drafts.seal(draft, (yield from self.drafts.sync(draft)))
    record = records.Publish(draft.token, sealed.source, draft.target)
    yield from self._committer.commit(lambda: record)
    raise AuthorityUnreachable("decided and not visible yet", root="", seconds=0.0)


def used_before_applied() -> Patches:
    def usable(self: Requests, token: int) -> Steps[Answer]:
        return self._standing(token)
        yield

    return [(Requests, "_usable", usable)]


def newest_applied_first() -> Patches:
    due = publishes.due

    def newest(pending: Mapping[int, Pending], keys: Iterable[str]) -> list[Pending]:
        return due(pending, keys)[::-1]

    def settle(self: Publishing, keys: Iterable[str]) -> Steps[None]:
        """Only by whoever is granted the paths: the author leaves it to them."""
        for one in newest(self._replica.table.pending, tuple(keys)):
            yield from self._apply(one)

    return [(Publishing, "settle", settle), (Publishing, "publish", _published_by_the_next)]


def shown_before_decided() -> Patches:
    publish = Publishing.publish

    def hasty(self: Publishing, draft: Draft) -> Steps[Answer]:
        sealed = yield from self.drafts.seal(draft, (yield from self.drafts.sync(draft)))
        source = f"{self.layout.base}/{sealed.source}"
        with suppress(OSError):
            yield Rename(source, self.layout.public(draft.target.path))
        return (yield from publish(self, draft))

    return [(Publishing, "publish", hasty)]


def cleared_while_written() -> Patches:
    def nobodys(self: Collector, unique: str) -> bool:
        return session_of(unique) != self._name

    return [(Collector, "_nobodys", nobodys)]


def cleared_while_unapplied() -> Patches:
    def nobodys(self: Collector, unique: str) -> bool:
        return session_of(unique) not in self._replica.table.sessions

    return [(Collector, "_nobodys", nobodys)]


def cleared_by_an_old_table() -> Patches:
    """Whose draft it is, is asked of the table of the last time."""
    collect = Collector.collect
    seen: dict[int, set[str]] = {}

    def late(self: Collector, seconds: float) -> Steps[None]:
        sessions = set(self._replica.table.sessions)
        yield from collect(self, seconds)
        seen[id(self)] = sessions

    def nobodys(self: Collector, unique: str) -> bool:
        return session_of(unique) not in seen.get(id(self), ())

    return [(Collector, "collect", late), (Collector, "_nobodys", nobodys)]


def moved_in_not_kept() -> Patches:
    """It is cleared away as any other draft is."""

    def kept(self: Collector, unique: str, names: set[str]) -> Steps[bool]:
        return (yield from self._clear(self._layout.stage(unique), math.inf))

    return [(Collector, "_kept", kept)]


def moved_in_removed_as_a_tree() -> Patches:
    """What lies there is kept, and then its directory removed with whatever came meanwhile."""

    def keep_once(layout: Layout, unique: str, folders: Iterable[str]) -> Steps[bool]:
        for folder in folders:
            names: list[str] = []
            with suppress(OSError):
                names = yield ListDirectory(folder)
            for name in names:
                yield from keeping.keep_whole(layout, unique, f"{folder}/{name}")
            with suppress(OSError):
                yield Rename(folder, folder + GONE)
            with suppress(OSError):
                yield RemoveTree(folder + GONE, math.inf)
        return True

    return [(collecting, "keep", keep_once)]


def replaced_deleted_at_once() -> Patches:
    def old(self: Collector, folder: str, mark: str, names: set[str], seconds: float) -> Any:
        return True
        yield

    return [(Collector, "_old", old)]


def draft_mark_left() -> Patches:
    """Taking the mark away is tried once, and the mark alone is believed."""

    def once(root: str, path: str) -> Steps[None]:
        with suppress(OSError):
            yield Unlink(path)

    def may_go(self: Collector, unique: str, names: set[str]) -> Steps[bool]:
        if unique + DRAFT in names:
            return self._nobodys(unique)
        return (yield from careful(self, unique, names))

    careful = Collector._may_go
    return [(publishing, "unlink", once), (Collector, "_may_go", may_go)]


def moved_before_marked() -> Patches:
    """The marks that say whose place it is are made when the directory is there."""

    def take_in(self: Adopting, token: int, target: Claim, place: str) -> Steps[Any]:
        contents = yield from self._examine(place)
        unique = self._unique()
        version = self._layout.version(unique)
        with suppress(OSError):
            yield Rename(place, version)
        if not (yield from self._filled(unique)):
            return None
        yield from make(self._root, Symlink(target.path, version + ADOPTED))
        yield from make(self._root, Symlink(target.path, version + PUBLIC))
        return Adopted(unique, contents)

    return [(Adopting, "_take_in", take_in)]


def moved_to_a_free_name() -> Patches:
    """Nothing stands where the directory is moved to, so whatever is there can be moved."""

    def make_but_that(root: str, effect: MakeDirectory | Symlink) -> Steps[None]:
        if isinstance(effect, Symlink):
            yield from make(root, effect)

    return [(adopting, "make", make_but_that)]


def passage_left_open() -> Patches:
    """What is adopted is where versions lie, and the way there is left."""

    def close(self: Adopting, unique: str, place: str) -> Steps[None]:
        yield from move(self._root, self._passage(unique), self._layout.version(unique))

    return [(Adopting, "_close_passage", close)]


def decided_and_discarded() -> Patches:
    def discard(self: Publishing, draft: Draft, back_to: str = "") -> Steps[None]:
        yield from self.drafts.discard(draft, back_to)

    return [(Publishing, "discard", discard)]
