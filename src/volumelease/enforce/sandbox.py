"""The sandbox: a program and all that it starts may write on a volume only where it is leased.

Rules of Landlock only allow. So everything that stands beside the way from ``/`` down to the
volume is allowed, one by one, the leased paths too, and what is left is the rest of the volume.

Limits, from that: a name that is new right in a directory above the volume can't be made; what is
leased must be there, and if it is deleted and made anew while the program runs, the program can't
write it any more (it fails closed). A leased single file can be written and cut, but not replaced.
Of a whole volume each name is allowed but that of the leases themselves and of what is published:
so nothing new can be made right in its root.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from volumelease.errors import PathInvalid
from volumelease.paths.locate import VolumeRoot
from volumelease.paths.resolve import CONTROL

from .landlock import Ruleset
from .places import appearances

_LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class Plan(NamedTuple):
    """``closed``: where the volume shows up. ``leased``: what of it may be written. ``made``:
    directories that had to be made for that; ``published``: leased, and not to be written;
    ``whole``: the volume's root, if all of it is leased."""

    closed: tuple[str, ...]
    leased: tuple[str, ...]
    made: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()

    def above(self) -> list[str]:
        """The directories that nothing new can be made right in, of which all else is allowed."""
        found = set(self.whole)
        for place in self.closed:
            while place != "/":
                place = os.path.dirname(place)  # noqa: PLW2901 - one step further up
                found.add(place)
        return sorted(found)

    def encoded(self) -> str:
        return json.dumps(self)


def decoded(text: str) -> Plan:
    """What ``encoded`` made."""
    return Plan(*(tuple(field) for field in json.loads(text)))


def plan(root: VolumeRoot, names: Iterable[str], drafts: Iterable[str] = ()) -> Plan:
    """For the leased ``names`` (as they are on the volume) and the directories of ``drafts``.

    A leased path that is not there is made, as a directory: a rule needs something to bind to.
    Touches the volume, so only who may hang calls this. Errors: ``OSError``; ``PathInvalid`` when
    a path leads elsewhere now.
    """
    leased, made, published, whole = [], [], [], []
    for name in names:
        if not name:
            whole.append(root.real_root)
            continue
        place = f"{root.real_root.rstrip('/')}/{name}"
        if not os.path.lexists(place):
            os.makedirs(place, exist_ok=True)
            made.append(place)
        real = os.path.realpath(place)
        if _is_published(real):
            published.append(place)
        elif real != place:
            raise PathInvalid(
                f"{place} leads to {real} by now",
                advice="Lease the directory that it leads to",
                path=place,
            )
        else:
            leased.append(place)
    for top in whole:
        for name in sorted(set(os.listdir(top)) - {CONTROL}):
            place = f"{top.rstrip('/')}/{name}"
            if not os.path.islink(place):
                leased.append(place)
            elif _is_published(os.path.realpath(place)):
                published.append(place)
    closed = tuple(appearances(root))
    return Plan(closed, (*leased, *drafts), tuple(made), tuple(published), tuple(whole))


def _is_published(real: str) -> bool:
    return f"/{CONTROL}/" in real


def ruleset(plan: Plan) -> Ruleset:
    """The rules for that plan. Errors: ``LandlockMissing``, ``OSError``; ``PathInvalid`` when what
    is leased is not what it was."""
    rules = Ruleset()
    try:
        for place in _beside(plan.closed):
            _allow(rules, place, must=False)
        for place in plan.leased:
            _allow(rules, place, must=True)
    except BaseException:
        os.close(rules.number)
        raise
    return rules


def _beside(closed: tuple[str, ...], directory: str = "/") -> Iterator[str]:
    """Everything that is not on the volume, by as few names as can be."""
    if directory in closed:
        return  # the volume is all there is
    try:
        names = os.listdir(directory)
    except OSError:
        return  # it may not be listed: what is in it is denied
    stem = directory.rstrip("/")
    for name in names:
        place = f"{stem}/{name}"
        if place in closed:
            continue
        if any(other.startswith(f"{place}/") for other in closed):
            yield from _beside(closed, place)
        else:
            yield place


def _allow(rules: Ruleset, place: str, *, must: bool) -> None:
    try:
        descriptor = os.open(place, _LOOK)
    except OSError:
        if must:
            raise
        return  # gone meanwhile
    try:
        mode = os.fstat(descriptor).st_mode
        if must and os.readlink(f"/proc/self/fd/{descriptor}") != place:
            raise PathInvalid(f"{place} was moved", advice="Try again", path=place)
        if not stat.S_ISLNK(mode):
            rules.allow(descriptor, directory=stat.S_ISDIR(mode))
    except OSError:
        if must:
            raise
    finally:
        os.close(descriptor)
