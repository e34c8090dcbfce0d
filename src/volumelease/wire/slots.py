"""The page on which the daemon shows its clients until when they may assume their leases.

A client reads it without asking anybody: that costs no round trip, needs no thread of the client
to run, and goes on being true when the daemon is stopped, because nobody moves the deadline then.
One slot for each session; a slot is used once.
"""

from __future__ import annotations

import struct
from typing import Final

MAGIC: Final = b"volumelease-1\n\0\0"
SLOT_BYTES: Final = 16
SLOTS: Final = 255
PAGE_BYTES: Final = SLOT_BYTES * (SLOTS + 1)

_MILLISECONDS: Final = struct.Struct("<q")


def begins_at(slot: int) -> int:
    """Where the slot's deadline lies: an aligned word, so that it is read whole."""
    return SLOT_BYTES * (slot + 1)


def alarms_at(slot: int) -> int:
    """Where the number of leases lies that were lost while their session lived."""
    return begins_at(slot) + 8


def encode_seconds(seconds: float) -> bytes:
    """Boottime, rounded down to milliseconds: never later than it is."""
    return _MILLISECONDS.pack(max(0, int(seconds * 1000)))


def decode_seconds(data: bytes) -> float:
    milliseconds: int = _MILLISECONDS.unpack(data)[0]
    return milliseconds / 1000


def encode_count(count: int) -> bytes:
    return _MILLISECONDS.pack(count)


def decode_count(data: bytes) -> int:
    count: int = _MILLISECONDS.unpack(data)[0]
    return count
