"""Published versions back at their public places, as real directories, before a volume is no more.

For a volume that nobody uses. The public link becomes the mark ``<unique>.leaving`` beside the
version, then the version takes its place: whoever was interrupted in between goes on from the mark.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final, NamedTuple

from volumelease.wire.drafts import decode_owner

from .speech import Problem, one_line

_LEAVING: Final = ".leaving"
_PUBLIC: Final = ".public"
_DRAFT: Final = ".draft"
_OWNER: Final = ".owner"
_ADOPTED: Final = ".adopted"
_MOVING: Final = ".moving"
_REPLACED: Final = ".replaced."


class Return(NamedTuple):
    """A version and where it belongs. ``link``: its public link is still there."""

    version: str
    place: str
    link: bool


def returns(root: str) -> list[Return]:
    """What has to go back. Errors: ``Problem`` for whatever would be lost: a version that no link
    leads to and that was not replaced, what was written elsewhere and moved in to be published, a
    draft that was kept because its publish failed."""
    found: list[Return] = []
    for folder in _folders(root, "versions"):
        names = set(os.listdir(folder))
        for name in sorted(names):
            if "." not in name and _belongs(folder, name, names):
                found.append(_return(root, folder, name, names))
            if name.endswith(_MOVING) and _under_way(f"{folder}/{name}"):
                raise Problem(
                    f"{folder}/{name}/d is of an adoption that was interrupted: it would be lost",
                    advice="Finish it first: volumelease adopt "
                    f"{_place(folder, name.removesuffix(_MOVING)) or 'PATH'}",
                )
    for folder in _folders(root, "stage"):
        for name in sorted(os.listdir(folder)):
            if name.endswith(_OWNER):
                _refuse_moved_in(folder, name.removesuffix(_OWNER))
    for folder in _folders(root, "audit"):
        for name in os.listdir(folder):
            if not name.endswith(".json"):
                raise Problem(
                    f"{folder}/{name} was kept because it could not be published",
                    advice="Move it to where it belongs, or delete it, then try again",
                )
    return found


def _refuse_moved_in(stage: str, unique: str) -> None:
    """Errors: ``Problem`` for what was written elsewhere and never was public."""
    try:
        owner = decode_owner(os.readlink(f"{stage}/{unique}{_OWNER}"))
    except OSError:
        return
    if owner is None or not owner.moved_in:
        return
    places = [f"{stage}/{unique}/{name}" for name in _inside(f"{stage}/{unique}")]
    versions = f"{os.path.dirname(stage)}/versions"
    names = set(_inside(versions))
    if {unique, unique + _DRAFT} <= names and not _is_public(versions, unique):
        places.append(f"{versions}/{unique}")
    for place in places:
        target = f" as {one_line(owner.target.path)}" if owner.target else ""
        raise Problem(
            f"{place} was moved in to be published{target}, and never was: it may be the only copy",
            advice="Move it to where it belongs, or delete it, then try again",
        )


def _inside(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def give_back(one: Return) -> None:
    """Errors: ``OSError``; then it can be done again."""
    if one.link:
        os.rename(one.place, one.version + _LEAVING)
    os.rename(one.version, one.place)


def _under_way(passage: str) -> bool:
    return any(os.listdir(f"{passage}/{name}") for name in os.listdir(passage))


def _folders(root: str, kind: str) -> Iterator[str]:
    """Of every identity that the volume ever had."""
    control = f"{root}/.volumelease"
    for name in sorted(os.listdir(control)):
        folder = f"{control}/{name}/{kind}"
        if os.path.isdir(folder) and not os.path.islink(folder):
            yield folder


def _belongs(folder: str, unique: str, names: set[str]) -> bool:
    """Whether somebody may want to have it: not what nobody ever saw, or what was replaced."""
    if unique + _LEAVING in names or _is_public(folder, unique):
        return True
    if unique + _DRAFT in names or any(name.startswith(unique + _REPLACED) for name in names):
        return False
    return not (unique + _ADOPTED in names and not os.listdir(f"{folder}/{unique}"))


def _is_public(folder: str, unique: str) -> bool:
    place = _place(folder, unique)
    return bool(place) and _leads_to(place, f"{folder}/{unique}")


def _place(folder: str, unique: str) -> str:
    root = folder.rpartition("/.volumelease/")[0]
    try:
        return f"{root}/{os.readlink(f'{folder}/{unique}{_PUBLIC}')}"
    except OSError:
        return ""


def _leads_to(link: str, version: str) -> bool:
    return os.path.islink(link) and os.path.realpath(link) == os.path.realpath(version)


def _return(root: str, folder: str, unique: str, names: set[str]) -> Return:
    version, place = f"{folder}/{unique}", _place(folder, unique)
    if place and unique + _LEAVING not in names and _leads_to(place, version):
        return Return(version, place, link=True)
    if place and unique + _LEAVING in names and not os.path.lexists(place):
        return Return(version, place, link=False)
    belongs = f", which belongs at {place}" if place else ""
    raise Problem(
        f"no public link leads to the version {version}{belongs}: it would be lost",
        advice="Move it to where it belongs, or delete it, then try again (volumelease gc "
        f"{root} lists such versions)",
    )
