"""Which results speak for a volume, for all who show one before the others.

What came out of a cache, or is not what was written, is the fastest of all and says nothing: it
stands first only where there is nothing else, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .document import Flag, Result

UNUSABLE: Final[frozenset[Flag]] = frozenset({"cache-suspected", "wrong-data"})


def doubts(result: Result) -> list[Flag]:
    """Why it says nothing about the volume; nothing where it does."""
    return sorted(UNUSABLE.intersection(result["flags"]))


def best(results: Sequence[Result], scenario: str) -> Result | None:
    """The one that the verdict of a scenario is taken from: of the way that got most out of the
    volume, since that is what it has to give. Without a verdict, one that has a rate."""
    known = [r for r in results if r["scenario"] == scenario and r["median_mb_per_s"] is not None]
    return max(known, key=_rank, default=None)


def _rank(result: Result) -> tuple[bool, bool, float]:
    return bool(result["verdict"]), not doubts(result), result["median_mb_per_s"] or 0.0


def loads(results: Sequence[Result]) -> list[Result]:
    """Those that say how long a cold load of a model takes. What was not cold is left out; all
    of them, where none was."""
    known = [result for result in results if result.get("cold_start_seconds")]
    return [result for result in known if not doubts(result)] or known
