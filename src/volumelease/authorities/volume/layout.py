"""Where everything of ours lies on a volume."""

from __future__ import annotations

import re
from typing import Final

CONTROL: Final = ".volumelease"
IDENTITY: Final = "identity"

FOLDERS: Final = (
    "log",
    "retired",
    "drafts",
    "records",
    "sessions",
    "reserve",
    "stage",
    "versions",
    "audit",
    "metrics",
)
"""Made before the identity is elected, so that who finds an identity finds all of them."""

FIRST_SEGMENT: Final = "0-0"
"""Made before the identity is elected; every other segment has the name of the draft it was."""

SETTLED: Final = "settled"
"""What says, inside of a segment, that nothing before it can be forgotten any more."""

SEEN: Final = "seen"
"""What says, followed by the boot it speaks of, when a segment was first found elected."""

_SEGMENT_NAME: Final = re.compile(r"[0-9]{1,18}-[0-9a-f]{1,64}\Z")


def number_of(name: str) -> int:
    """The number of the segment (or draft) of that name; -1 for a name that is none's."""
    return int(name.partition("-")[0]) if _SEGMENT_NAME.match(name) else -1


DOOMED: Final = ".gone-"
"""In the name of a directory that is being deleted."""


class Layout:
    """The paths of one identity. It is in every path, so that a log made anew never takes a
    commit that was meant for the old one.

    A segment is called ``<number>-<unique>``, from its draft to its end. So the source and the
    target of each rename exist once, and a segment that was elected by entries which a crashed
    master forgot is never in the way of the one that the log elects instead.
    """

    __slots__ = ("base", "control", "identity", "identity_id", "locks", "root")

    def __init__(self, root: str, identity_id: str) -> None:
        self.root = root
        self.identity_id = identity_id
        self.control = f"{root}/{CONTROL}"
        self.identity = f"{self.control}/{IDENTITY}"
        self.base = f"{self.control}/{identity_id}"
        self.locks = f"{self.base}/locks"

    def folder(self, name: str) -> str:
        return f"{self.base}/{name}"

    def segment(self, name: str) -> str:
        return f"{self.base}/log/{name}"

    def retired(self, name: str) -> str:
        return f"{self.base}/retired/{name}"

    def doomed(self, segment: str, session: str) -> str:
        """A retired segment while that session deletes it."""
        return self.retired(f"{segment}{DOOMED}{session}")

    def draft(self, name: str) -> str:
        return f"{self.base}/drafts/{name}"

    def record(self, name: str) -> str:
        return f"{self.base}/records/{name}"

    def session(self, name: str) -> str:
        return f"{self.base}/sessions/{name}"

    def stage(self, name: str) -> str:
        return f"{self.base}/stage/{name}"

    def version(self, name: str) -> str:
        return f"{self.base}/versions/{name}"

    def report(self, session: str) -> str:
        """What that session counted."""
        return f"{self.base}/metrics/{session}"

    def audit(self, name: str) -> str:
        return f"{self.base}/audit/{name}"

    def public(self, display: str) -> str:
        """A path of the volume, by its canonical name."""
        return f"{self.root.rstrip('/')}/{display}" if display else self.root

    def reserve(self, name: str) -> str:
        return f"{self.base}/reserve/{name}"
