"""Where everything of ours lies on a volume."""

from __future__ import annotations

import re
from typing import Final, Self

from volumelease.wire.identity import Identity

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

OF_THE_LOG: Final = frozenset({"log", "retired", "drafts", "records", "sessions", "reserve"})
"""What a log that begins later has of its own, in a folder that the identity of its era names; all
else goes on: ``versions`` is user data."""

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


def identity_name(era: int) -> str:
    """The name of the identity of an era. Each is created once and stays, so whoever comes late to
    end an era finds that it has ended."""
    return f"{IDENTITY}.{era}" if era else IDENTITY


class Layout:
    """The paths of one identity. It is in every path, so that a log made anew never takes a
    commit that was meant for the old one.

    A segment is called ``<number>-<unique>``, from its draft to its end. So the source and the
    target of each rename exist once, and a segment that was elected by entries which a crashed
    master forgot is never in the way of the one that the log elects instead.
    """

    __slots__ = ("base", "control", "identity", "identity_id", "locks", "root", "trunk")

    def __init__(self, root: str, identity_id: str, era: int, log: str) -> None:
        self.root = root
        self.identity_id = identity_id
        self.control = f"{root}/{CONTROL}"
        self.identity = f"{self.control}/{identity_name(era)}"
        self.base = f"{self.control}/{identity_id}"
        self.trunk = f"{self.base}/{log}" if log else self.base
        """Where the parts of the log are."""
        self.locks = f"{self.base}/locks"

    @classmethod
    def of(cls, root: str, identity: Identity) -> Self:
        return cls(root, identity.id, identity.era, identity.log)

    @classmethod
    def first(cls, root: str, identity_id: str) -> Self:
        """Of the identity that a volume begins with."""
        return cls(root, identity_id, 0, "")

    def folder(self, name: str) -> str:
        return f"{self.trunk if name in OF_THE_LOG else self.base}/{name}"

    def segment(self, name: str) -> str:
        return f"{self.trunk}/log/{name}"

    def retired(self, name: str) -> str:
        return f"{self.trunk}/retired/{name}"

    def doomed(self, segment: str, session: str) -> str:
        """A retired segment while that session deletes it."""
        return self.retired(f"{segment}{DOOMED}{session}")

    def draft(self, name: str) -> str:
        return f"{self.trunk}/drafts/{name}"

    def record(self, name: str) -> str:
        return f"{self.trunk}/records/{name}"

    def session(self, name: str) -> str:
        return f"{self.trunk}/sessions/{name}"

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
        return f"{self.trunk}/reserve/{name}"
