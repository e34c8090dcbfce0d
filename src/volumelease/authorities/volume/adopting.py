"""Adopting: a real directory becomes the first published version of its place, without copying.

1. A *passage* is made, a directory of this adoption alone, with an empty one in it; marks beside it
   say whose place it is (``.adopted``, ``.public``).
2. The directory is renamed onto the empty one. From here on the place is missing.
3. It is renamed to where versions lie, and the passage removed.
4. The link to the version is published through the log, as every publish is.
5. The mark ``.adopted`` goes.

Whoever dies between two steps is finished by the next ``adopt``: the mark names the place, and
what a version holds without any other mark is never cleared away. The passage keeps a late rename
of a session that was cut off harmless, by when the place may be a link: a link can't be renamed
onto a directory, and nothing into a directory that is gone. A call that failed may make it once
more, so only one counts that was made by a call which succeeded.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from volumelease.effects import (
    Contents,
    ListDirectory,
    MakeDirectory,
    ReadLink,
    RemoveDirectory,
    Rename,
    Steps,
    Symlink,
    SyncTree,
    Unlink,
)
from volumelease.errors import AuthorityUnreachable, PathInvalid, PublishFailed
from volumelease.model import Claim, Draft, Lost

from .drafts import ADOPTED, INSIDE, LINK, MOVING, PUBLIC, REPLACED
from .insisting import FORBIDDEN, FULL, MISSING, TRIES, kind_of, make, move, pause, refusal
from .layout import CONTROL
from .publishing import Publishing

_CHANGED: Final = MISSING | {errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST}
"""The place is no directory any more, or the version is filled: look again."""


class Adopted(NamedTuple):
    """``begun_before``: an adoption that was interrupted has been finished. ``contents`` is None
    if the place was a published version already, or then."""

    unique: str
    contents: Contents | None = None
    begun_before: bool = False


class Adopting:
    """Adopts for one session."""

    def __init__(self, publishing: Publishing, unique: Callable[[], str]) -> None:
        self._publishing = publishing
        self._layout = publishing.layout
        self._root = publishing.layout.root
        self._unique = unique

    def adopt(self, token: int, target: Claim) -> Steps[Adopted | Lost]:
        """Under the exclusive lease ``token``. Errors: ``PathInvalid``, ``PublishFailed``,
        ``VolumeFull``, ``VolumeUnsuitable``, ``AuthorityUnreachable``."""
        place = self._layout.public(target.path)
        for number in range(TRIES):
            kind = yield from kind_of(self._root, place)
            begun = yield from self._begun(target)
            if kind == "directory" and (not begun or not (yield from self._make_way(place))):
                if begun:
                    raise self._two_of_them(place, begun)
                taken = yield from self._take_in(token, target, place)
            elif kind in ("", "directory") and begun:
                taken = Adopted(begun, None, begun_before=True)
            elif kind == "link" and (version := (yield from self._published(place))):
                yield from self._forget(version)
                return Adopted(version)
            else:
                raise _unfit(place, kind)
            if isinstance(taken, Lost):
                return taken
            if taken is not None:
                return (yield from self._publish(token, target, taken))
            yield pause(number)
        raise AuthorityUnreachable(f"{place} changes all the time", root=self._root, seconds=0.0)

    # ---- what is there

    def _begun(self, target: Claim) -> Steps[str]:
        """The version, or the passage to it, that an interrupted adoption of that place filled,
        or ""."""
        try:
            names: list[str] = yield ListDirectory(self._layout.folder("versions"))
        except OSError as error:
            raise refusal(self._root, "look for adoptions that were interrupted", error) from error
        found = []
        for name in sorted(name for name in names if name.endswith(ADOPTED)):
            unique = name.removesuffix(ADOPTED)
            if any(other.startswith(unique + REPLACED) for other in names):
                continue
            try:
                whose: str = yield ReadLink(self._layout.version(name))
            except OSError:
                continue
            if whose == target.path and (yield from self._filled(unique)):
                found.append(unique)
        if len(found) > 1:
            raise self._two_of_them(self._layout.public(target.path), *found)
        return found[0] if found else ""

    def _filled(self, unique: str) -> Steps[bool]:
        for path in (self._passage(unique), self._layout.version(unique)):
            if (yield from self._holds_something(path)):
                return True
        return False

    def _passage(self, unique: str) -> str:
        return f"{self._layout.version(unique)}{MOVING}/{INSIDE}"

    def _holds_something(self, path: str) -> Steps[bool]:
        trouble: OSError | None = None
        for number in range(TRIES):
            try:
                names: list[str] = yield ListDirectory(path)
            except OSError as error:
                if error.errno in MISSING:
                    return False
                trouble = error.with_traceback(None)
                yield pause(number)
            else:
                return bool(names)
        assert trouble is not None
        raise refusal(self._root, f"look into {path}", trouble)

    def _make_way(self, place: str) -> Steps[bool]:
        """Remove an empty directory that somebody made where the adopted one was."""
        try:
            yield RemoveDirectory(place)
        except OSError as error:
            return error.errno in MISSING
        return True

    def _published(self, place: str) -> Steps[str]:
        return (yield from self._publishing.version_at(place))

    def _two_of_them(self, place: str, *versions: str) -> PathInvalid:
        kept = ", ".join(self._layout.version(version) for version in versions)
        return PathInvalid(
            f"an adoption of {place} was interrupted and left what was in it in {kept}, and there "
            "is another directory now",
            advice=f"Keep one: move the other one away, then run volumelease adopt {place} again",
            path=place,
        )

    # ---- the steps

    def _take_in(self, token: int, target: Claim, place: str) -> Steps[Adopted | Lost | None]:
        """None if the place is not what it was: look again."""
        contents = yield from self._examine(place)
        unique = yield from self._open_passage()
        version = self._layout.version(unique)
        yield from make(self._root, Symlink(target.path, version + ADOPTED))
        yield from make(self._root, Symlink(target.path, version + PUBLIC))
        yield from make(self._root, MakeDirectory(self._passage(unique)))
        trouble: OSError | None = None
        for number in range(TRIES):
            loss = self._publishing.loss_of(token)
            if loss:
                return Lost(loss)
            try:
                yield Rename(place, self._passage(unique))
            except OSError as error:
                trouble = error.with_traceback(None)
            if (yield from self._filled(unique)):
                return Adopted(unique, contents)
            if trouble is None or trouble.errno in _CHANGED:  # None: a crashed master forgot it
                return None
            if trouble.errno in FORBIDDEN | FULL:
                break
            if trouble.errno in (errno.EBUSY, errno.EXDEV):
                raise _mounted(place)
            yield pause(number)
        assert trouble is not None
        raise refusal(self._root, f"move {place}", trouble)

    def _open_passage(self) -> Steps[str]:
        trouble: OSError | None = None
        for number in range(TRIES):
            unique = self._unique()
            passage = self._layout.version(unique) + MOVING
            try:
                yield MakeDirectory(passage)
            except OSError as error:
                trouble = error.with_traceback(None)
            else:
                return unique
            if trouble.errno in FORBIDDEN | FULL | MISSING:
                break
            with suppress(OSError):
                yield RemoveDirectory(passage)
            yield pause(number)
        assert trouble is not None
        raise refusal(self._root, "make room for what is adopted", trouble)

    def _close_passage(self, unique: str, place: str) -> Steps[None]:
        """Have the directory where versions lie, and no way there any more."""
        version = self._layout.version(unique)
        if not (yield from move(self._root, self._passage(unique), version)):
            raise AuthorityUnreachable(f"{place} is being adopted", root=self._root, seconds=0.0)
        trouble: OSError | None = None
        for number in range(TRIES):
            try:
                yield RemoveDirectory(version + MOVING)
            except OSError as error:
                if error.errno in MISSING:
                    return
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise self._two_of_them(place, unique, unique + MOVING) from error
                trouble = error.with_traceback(None)
                yield pause(number)
            else:
                return
        assert trouble is not None
        raise refusal(self._root, f"remove {version}{MOVING}", trouble)

    def _examine(self, place: str) -> Steps[Contents]:
        try:
            contents: Contents = yield SyncTree(place)
        except OSError as error:
            raise refusal(self._root, f"bring {place} onto the volume", error) from error
        if contents.outward:
            raise PathInvalid(
                f"{contents.outward[0]} is a relative link that leads out of {place}, or a "
                "published version below it: it would lead nowhere from where versions lie",
                advice="Adopt the directories below it one by one, or make the link absolute",
                path=place,
            )
        if not contents.entries:
            raise PathInvalid(
                f"{place} is empty, so there is nothing to adopt",
                advice="Publish there; an empty directory is replaced",
                path=place,
            )
        return contents

    def _publish(self, token: int, target: Claim, taken: Adopted) -> Steps[Adopted | Lost]:
        yield from self._close_passage(taken.unique, self._layout.public(target.path))
        version = self._layout.version(taken.unique)
        link = self._unique()  # its own: that of a dead session's version would be swept away
        up = "../" * target.path.count("/")
        leads = f"{up}{CONTROL}/{self._layout.identity_id}/versions/{taken.unique}"
        yield from make(self._root, Symlink(leads, self._layout.stage(link) + LINK))
        place = self._layout.public(target.path)
        draft = Draft(token, target, link, version)
        try:
            answer = yield from self._publishing.decide(draft, f"stage/{link}{LINK}")
        except PublishFailed as error:
            raise PublishFailed(
                f"somebody made {place} anew meanwhile; what was in it is kept in {version}",
                advice=f"Move it away, then run volumelease adopt {place} again",
                path=place,
                kept=version,
            ) from error
        if isinstance(answer, Lost):
            return answer
        yield from self._forget(taken.unique)
        return taken

    def _forget(self, unique: str) -> Steps[None]:
        with suppress(OSError):
            yield Unlink(self._layout.version(unique) + ADOPTED)


def _unfit(place: str, kind: str) -> PathInvalid:
    if not kind:
        return PathInvalid(f"{place} does not exist", advice="Name a directory", path=place)
    if kind == "link":
        return PathInvalid(
            f"{place} is a symlink", advice="Adopt the directory that it leads to", path=place
        )
    return PathInvalid(
        f"{place} is a {kind}, which needs no adoption",
        advice="Publish there: a file is replaced in one step",
        path=place,
    )


def _mounted(place: str) -> PathInvalid:
    return PathInvalid(
        f"{place} is a mount point, or on another file system",
        advice="Adopt a directory of the volume itself",
        path=place,
    )
