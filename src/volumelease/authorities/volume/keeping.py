"""What was written elsewhere and moved in to be published.

It may be its user's only copy. So where nothing comes of the publish and it could not be moved
back, it is kept in ``audit`` and not cleared away with its session.

What a cut-off writer sent can still land, and a mount may say "not there" without having asked. So
nothing here is taken for kept because a call failed, and the draft's folder is removed as an empty
one: the server decides whether it is, and what comes later finds no folder to land in.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from volumelease.effects import ListDirectory, LookAt, RemoveDirectory, Rename, Steps

from .layout import Layout

MOVED_IN: Final = "-source"
_MOST: Final = 10


def kept_at(base: str, unique: str) -> str:
    """Where that draft is kept, below the directory of the volume's identity."""
    return f"{base}/audit/{unique}{MOVED_IN}"


def keep(layout: Layout, unique: str, folders: Iterable[str]) -> Steps[bool]:
    """Move what lies in these folders of that draft, which is nobody's, to where it is kept, and
    remove them. Returns whether they are gone; if not, it is to be done again. Errors: none."""
    gone = True
    for folder in folders:
        names: list[str] = []
        with suppress(OSError):
            names = yield ListDirectory(folder)
        for name in names:
            yield from keep_whole(layout, unique, f"{folder}/{name}")
        with suppress(OSError):
            yield RemoveDirectory(folder)
        gone &= yield from _is_gone(folder)
    return gone


def keep_whole(layout: Layout, unique: str, place: str) -> Steps[bool]:
    """The same for ``place`` itself."""
    target = yield from _free_place(layout, unique)
    if target:
        with suppress(OSError):
            yield Rename(place, target)
    return (yield from _is_gone(place))


def _free_place(layout: Layout, unique: str) -> Steps[str]:
    """A rename onto what is kept already would end it: a source that was made anew can land too.
    "" if none is known to be free."""
    for number in range(1, _MOST):
        place = kept_at(layout.base, unique if number == 1 else f"{unique}.{number}")
        if (yield from _is_gone(place)):
            return place
    return ""


def _is_gone(path: str) -> Steps[bool]:
    """Whether nothing is there; any doubt counts as something."""
    try:
        yield LookAt(path)
    except OSError as error:
        return error.errno == errno.ENOENT
    return False
