"""What a session counted, as text: short, printable, without spaces, a few hundred bytes."""

from __future__ import annotations

import binascii
import json
import zlib
from typing import Any, Final

from volumelease.tallies import BY_NAME, Counts

from .fields import Malformed, decode_list, take_number

_MOST_BYTES: Final = 1 << 20
"""More is no counts of ours."""

_MOST_COUNTED: Final = 1e18
"""Nothing counts further: what does adds up to infinity, which nobody could read again."""


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
        said = unpacker.decompress(packed, _MOST_BYTES).decode("ascii")
        if not unpacker.eof:
            return None
        counts = Counts()
        for one in decode_list(said):
            _count(counts, one)
    except (ValueError, zlib.error):
        return None
    return counts


def _count(counts: Counts, said: Any) -> None:
    match said:
        case [str(name), *labels, dict(values)] if all(type(label) is str for label in labels):
            metric = BY_NAME.get(name)
            if metric is None:
                return
            if len(labels) != metric.scope + len(metric.labels):
                raise Malformed(name)
            slots = counts.slots((name, *labels))
            for place in values:
                if place not in map(str, range(len(slots))):
                    raise Malformed(name)
                slots[int(place)] = _counted(slots[int(place)] + take_number(values, place))
        case _:
            raise Malformed("no count")


def _counted(value: float) -> float:
    return max(-_MOST_COUNTED, min(value, _MOST_COUNTED))
