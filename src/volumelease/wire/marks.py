"""The running mark: in front of every entry stands what its author had read before it.

A master that crashes can forget entries that it had acknowledged; who read them goes on at an
index that nobody else has come to, with a history that is not on the volume. The mark makes such
an entry void for everybody who reads the log as it stands: it is a checksum over the raw content
of all places before it, so it only fits one history.

Limit: 32 bits, against accidents; whoever can write the volume can forge it.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

from .widths import widen

MARK_LETTERS: Final = 8


def begin(segment: str, digest: str) -> int:
    """The mark of a segment's first place. The name of a segment is given once, and ``digest``
    is that of the table it begins with."""
    return crc32(f"{segment} {digest}\n".encode())


def follow(mark: int, target: str) -> int:
    """The mark of the next place. What is no symlink, or not plain ASCII (which each process may
    decode in its own way), counts as ''."""
    return crc32(f"{target}\n".encode() if target.isascii() else b"\n", mark)


def seal(mark: int, text: str) -> str:
    """What is written at a place whose mark is ``mark``."""
    return widen(f"{mark:08x}{text}", mark)


def unseal(mark: int, target: str) -> str | None:
    """The text that ``target`` carries, or None if its author had read another history."""
    return target[MARK_LETTERS:].rstrip(" ") if target[:MARK_LETTERS] == f"{mark:08x}" else None
