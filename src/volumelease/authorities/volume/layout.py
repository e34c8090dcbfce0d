"""Where everything of ours lies on a volume."""

from __future__ import annotations

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


class Layout:
    """The paths of one identity. It is in every path, so that a log made anew never takes a
    commit that was meant for the old one."""

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

    def segment(self, number: int) -> str:
        return f"{self.base}/log/{number}"

    def retired(self, number: int) -> str:
        return f"{self.base}/retired/{number}"

    def draft(self, name: str) -> str:
        return f"{self.base}/drafts/{name}"

    def record(self, name: str) -> str:
        return f"{self.base}/records/{name}"

    def session(self, name: str) -> str:
        return f"{self.base}/sessions/{name}"

    def reserve(self, name: str) -> str:
        return f"{self.base}/reserve/{name}"
