"""What was written elsewhere and moved in to be published.

It may be its user's only copy. So where nothing comes of the publish and it could not be moved
back, it is kept in ``audit`` and not cleared away with its session.
"""

from __future__ import annotations

from typing import Final

from volumelease.effects import ListDirectory, Rename, Steps

from .ground import GONE
from .layout import Layout

MOVED_IN: Final = "-source"


def kept_at(base: str, unique: str) -> str:
    """Where that draft is kept, below the directory of the volume's identity."""
    return f"{base}/audit/{unique}{MOVED_IN}"


def keep(layout: Layout, unique: str, *, sealed: bool) -> Steps[bool]:
    """Move that draft, which is nobody's, to where it is kept; ``sealed``: also what was made a
    version of it and never was public. Returns whether it is out of the way of who clears up."""
    stage = layout.stage(unique)
    try:
        names: list[str] = yield ListDirectory(stage)
    except OSError as error:
        if error.errno not in GONE:
            return False
        names = []
    places = [f"{stage}/{name}" for name in names]
    if sealed:
        places.append(layout.version(unique))
    for place in places:
        try:
            yield Rename(place, kept_at(layout.base, unique))
        except OSError as error:
            if error.errno not in GONE:
                return False
    return True
