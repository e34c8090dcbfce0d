"""What is heard of local writes, and what the kernel watches."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Final, NamedTuple

MOST_QUEUED: Final = 200_000
"""Events that wait to be looked at; beyond that they count as overflowed."""

_INODE: Final = re.compile(r"^inotify wd:\S+ ino:([0-9a-f]+) ", re.MULTILINE)


class Event(NamedTuple):
    """Something happened at ``path`` (absolute) on this host at about ``at`` (monotonic)."""

    path: str
    what: str
    directory: bool
    at: float


def watched_inodes() -> set[int]:
    """The inodes that the kernel watches for this process. Source: proc(5), fdinfo."""
    found: set[int] = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}") == "anon_inode:inotify":
                with open(f"/proc/self/fdinfo/{number}") as file:
                    found.update(int(inode, 16) for inode in _INODE.findall(file.read()))
    return found
