"""What a rate means, against what the platform documents for its network volumes.

Judged is the 95 % interval and not the point: an interval that reaches over an edge is
inconclusive. Edges are decimal MB/s, the lower one inclusive.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .document import Flag, Verdict

BANDS: Final[tuple[tuple[float, Verdict], ...]] = (
    (9_000.0, "documented peak"),
    (5_000.0, "very fast"),
    (1_000.0, "fast"),
    (400.0, "above typical"),
    (200.0, "typical"),
    (0.0, "below documented"),
)


def band(mb_per_s: float) -> Verdict:
    """The band of one rate."""
    return next((name for edge, name in BANDS if mb_per_s >= edge), "below documented")


def verdict(
    low_mb_per_s: float, high_mb_per_s: float, *, steady: bool, flags: Collection[Flag] = ()
) -> Verdict:
    """The verdict on an interval. What was not the volume, or came out of a cache, gets no band,
    and what never became steady none either."""
    if "not-the-volume" in flags:
        return "not the volume"
    if "cache-suspected" in flags:
        return "cache suspected"
    if not steady or "wrong-data" in flags:
        return "inconclusive"
    low, high = band(low_mb_per_s), band(high_mb_per_s)
    return low if low == high else "inconclusive"
