"""Which audit events of Python write to a name, and to which of their arguments.

Source: the audit events table of CPython 3.11 to 3.14. Limits: an event that Python does not
raise (``os.mkfifo``, ``os.mknod``, ``os.open`` does not tell its ``dir_fd``) can't be judged, nor
can what a library writes in C or Rust.
"""

from __future__ import annotations

import os
from typing import Any, Final

WRITES: Final = (
    os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_TMPFILE
) & ~os.O_DIRECTORY
"""Any of these bits makes an open one for writing. ``open``'s flags are the real bits in every
form of it. O_TMPFILE holds O_DIRECTORY, which alone is a read."""


class Touched:
    """One argument that names what is changed: its place, that of the directory descriptor it is
    relative to (-1: none), and whether a link at its end is followed."""

    __slots__ = ("at", "follows", "path")

    def __init__(self, path: int, at: int, follows: bool) -> None:
        self.path = path
        self.at = at
        self.follows = follows


class Writing:
    """One way to change a volume: in words, and what it touches."""

    __slots__ = ("touched", "words")

    def __init__(self, words: str, touched: tuple[Touched, ...]) -> None:
        self.words = words
        self.touched = touched


_NAME: Final = False
_TARGET: Final = True

WRITING: Final = {
    "os.chmod": Writing("chmod of", (Touched(0, 2, _NAME),)),
    "os.chown": Writing("chown of", (Touched(0, 3, _NAME),)),
    "os.link": Writing("hard link to", (Touched(0, 2, _NAME), Touched(1, 3, _NAME))),
    "os.mkdir": Writing("mkdir of", (Touched(0, 2, _NAME),)),
    "os.remove": Writing("removing", (Touched(0, 1, _NAME),)),
    "os.removexattr": Writing("removing an attribute of", (Touched(0, -1, _NAME),)),
    "os.rename": Writing("renaming", (Touched(0, 2, _NAME), Touched(1, 3, _NAME))),
    "os.rmdir": Writing("rmdir of", (Touched(0, 1, _NAME),)),
    "os.setxattr": Writing("setting an attribute of", (Touched(0, -1, _NAME),)),
    "os.symlink": Writing("symlink at", (Touched(1, 2, _NAME),)),
    "os.truncate": Writing("truncating", (Touched(0, -1, _TARGET),)),
    "os.utime": Writing("setting the times of", (Touched(0, 3, _NAME),)),
}
"""Metadata calls are judged by the name itself: their event does not tell whether they follow a
link, and a write beneath a lease must never be refused."""

MAKES_LINKS: Final = frozenset({"os.link", "os.rename", "os.symlink"})
"""What can put a symlink where none was."""

CHILDREN: Final = {
    "os.exec": 0,
    "os.fork": None,
    "os.forkpty": None,
    "os.posix_spawn": 0,
    "os.spawn": 1,
    "os.system": 0,
    "pty.spawn": 0,
    "subprocess.Popen": 0,
}
"""What starts a process that the guard does not reach, and which argument names it."""


def sqlite_file(database: Any) -> str | None:
    """The file that ``sqlite3.connect`` may write, or None: in memory, or opened for reading
    (``file:...?mode=ro`` or ``immutable=1``)."""
    text = os.fsdecode(database)
    if text.startswith("file:"):
        from urllib.parse import parse_qs, unquote

        text, _, query = text.removeprefix("file:").partition("#")[0].partition("?")
        asked = parse_qs(query)
        if asked.get("mode") in (["ro"], ["memory"]) or asked.get("immutable") == ["1"]:
            return None
        text = unquote(text)
        if text.startswith("//"):  # file://localhost/path
            text = text[text.find("/", 2) :]
    return None if text in ("", ":memory:") else text
