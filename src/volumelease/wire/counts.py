"""What a session counted, as text: short, printable, without spaces, a few hundred bytes."""

from __future__ import annotations

import binascii
import json
import zlib
from typing import Final

from volumelease.tallies import BY_NAME, Counts

_MOST_BYTES: Final = 1 << 20
"""More is no counts of ours."""


def encode_counts(counts: Counts) -> str:
    said = [
        [*key, {str(n): round(value, 6) for n, value in enumerate(values) if value}]
        for key, values in sorted(counts.values.items())
        if any(values)
    ]
    packed = zlib.compress(json.dumps(said, separators=(",", ":")).encode(), 9)
    return binascii.b2a_base64(packed, newline=False).decode()


def decode_counts(text: str) -> Counts | None:
    """None for what this version can't read. Metrics that it does not know are left out."""
    try:
        packed = binascii.a2b_base64(text, strict_mode=True)
        unpacker = zlib.decompressobj()
        said = json.loads(unpacker.decompress(packed, _MOST_BYTES))
        if not unpacker.eof:
            return None
        counts = Counts()
        for *key, values in said:
            if key and key[0] in BY_NAME:
                slots = counts.slots(tuple(map(str, key)))
                for place, value in values.items():
                    slots[int(place)] += float(value)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, zlib.error):
        return None
    return counts
