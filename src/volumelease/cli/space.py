"""The space that versions and drafts take, as far as a moment suffices to measure it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .speech import plural

if TYPE_CHECKING:
    from .places import Place
    from .reading import Picture

MEASURE_SECONDS: Final = 1.0
"""For all of it: whoever asks for the status must not wait for a tree of a million files."""


@dataclass(slots=True)
class Use:
    """``complete``: all of it was measured; else ``bytes`` is the least that it can be."""

    count: int = 0
    bytes: int = 0
    complete: bool = True

    def words(self, one: str) -> str:
        least = "" if self.complete else "at least "
        return f"{plural(self.count, one)}, {least}{size(self.bytes)}"

    def as_document(self) -> dict[str, Any]:
        return {"count": self.count, "bytes": self.bytes, "complete": self.complete}


def lines(place: Place, picture: Picture) -> list[str]:
    """For people; nothing where nothing was published."""
    versions, drafts = _measured(place, picture)
    if not versions.count and not drafts.count:
        return []
    return [f"published: {versions.words('version')}; {drafts.words('draft')}"]


def document(place: Place, picture: Picture) -> dict[str, Any]:
    versions, drafts = _measured(place, picture)
    return {"versions": versions.as_document(), "drafts": drafts.as_document()}


def size(count: float) -> str:
    """An amount of bytes for a person."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _measured(place: Place, picture: Picture) -> tuple[Use, Use]:
    from volumelease.authorities.volume.layout import Layout

    from .reading import patiently

    layout = Layout.of(place.root, picture.identity)
    until = time.monotonic() + MEASURE_SECONDS
    folders = [layout.folder(name) for name in ("versions", "stage")]
    versions, drafts = patiently(lambda: [use_of(folder, until) for folder in folders], place.root)
    return versions, drafts


def use_of(folder: str, until: float) -> Use:
    """The directories in ``folder``: what is not one is a mark. What is being deleted counts for
    its bytes alone."""
    from volumelease.drivers.trees import measure

    use = Use()
    try:
        names = os.listdir(folder)
    except OSError:
        return use
    for name in names:
        path = f"{folder}/{name}"
        left = until - time.monotonic()
        if "." in name and name.rpartition(".")[2] not in ("gone", "taken"):
            continue
        use.count += "." not in name
        if left <= 0:
            use.complete = False
            continue
        try:
            contents = measure(path, left)
        except OSError:
            continue  # it has just gone
        use.bytes += contents.bytes
        use.complete &= contents.complete
    return use
