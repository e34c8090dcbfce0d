"""Lengths that tell one symlink of the log from another that had its inode before.

Seen on MooseFS: a master that crashes forgets symlinks, and gives their inode numbers to the ones
made next; but a mount goes on answering the target that it knew by that number, for an hour. The
length is an attribute, which the mount asks the master for. So each text is widened by a number of
spaces that depends on its content, and whoever reads a target compares its length with the
attribute (``drivers.files``): a target of another time is found out, but for one in 800.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

LONGEST_BYTES: Final = 1000
"""XFS beneath some servers refuses a symlink target of 1,024 bytes."""


def widen(text: str, history: int = 0) -> str:
    """``text`` with the spaces that its content, after that ``history``, asks for."""
    room = LONGEST_BYTES - len(text)
    return text if room <= 0 else text + " " * (crc32(text.encode(), history) % (room + 1))
