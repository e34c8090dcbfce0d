"""The page on which the daemon shows its clients until when they may assume their leases.

A client reads it without asking anybody: that costs no round trip, needs no thread of the client
to run, and goes on being true when the daemon is stopped, because nobody moves the deadline then.
One slot for each session and daemon. A slot says by its tag whose it is; who finds another tag
than it was told has lost its session.
"""

from __future__ import annotations

import struct
from typing import Final

MAGIC: Final = b"volumelease-2\n\0\0"
SLOT_BYTES: Final = 32
SLOTS: Final = 4095
PAGE_BYTES: Final = SLOT_BYTES * (SLOTS + 1)
LOST: Final = 0.001
"""Seconds: the deadline of a session that is lost. A slot that was never used has 0."""

_WORD: Final = struct.Struct("<q")


def begins_at(slot: int) -> int:
    """Where the slot's deadline lies: an aligned word, so that it is read whole."""
    return SLOT_BYTES * (slot + 1)


def alarms_at(slot: int) -> int:
    """Where the number of leases lies that were lost while their session lived."""
    return begins_at(slot) + 8


def tag_at(slot: int) -> int:
    """Where the random number lies that says whose the slot is. It is written before, and read
    after, the deadline."""
    return begins_at(slot) + 16


def used_at(slot: int) -> int:
    """Where the daemon notes when the slot was last written."""
    return begins_at(slot) + 24


def encode_seconds(seconds: float) -> bytes:
    """Boottime, rounded down to milliseconds: never later than it is."""
    return _WORD.pack(max(0, int(seconds * 1000)))


def decode_seconds(data: bytes) -> float:
    milliseconds: int = _WORD.unpack(data)[0]
    return milliseconds / 1000


def encode_count(count: int) -> bytes:
    return _WORD.pack(count)


def decode_count(data: bytes) -> int:
    count: int = _WORD.unpack(data)[0]
    return count
