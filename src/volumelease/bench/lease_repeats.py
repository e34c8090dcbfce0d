"""Repeats of what leases cost, so that two runs can be compared. All are rates, and more is better
in all of them: MB/s of writers, and of what takes time, how often it could be done in a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .document import Repeat
from .engine import Run
from .statistics import median

_LEAST: Final = 5
"""Hand-offs whose median counts as one repeat."""


def written(run: Run) -> Repeat:
    """What all writers wrote together, up to the last byte of any."""
    ends = [answer["seconds"] for answer in run.answers]
    count = sum(answer["bytes"] for answer in run.answers)
    repeat = _repeat(max(ends), sum(answer.get("units", 0) for answer in run.answers))
    repeat["mb_per_s"] = count / 1e6 / max(ends) if max(ends) else 0.0
    repeat["bytes"], repeat["first_done_seconds"] = count, min(ends)
    repeat["cpu_share"] = run.cpu_share
    return repeat


def rates(repeats: Mapping[str, Sequence[Repeat]]) -> dict[str, list[float]]:
    """MB/s of each."""
    return {way: [repeat["mb_per_s"] or 0.0 for repeat in of] for way, of in repeats.items()}


def taken(run: Run, count: int, median_seconds: float) -> Repeat:
    """So many leases, one after another."""
    repeat = _timed(run.seconds, count, median_seconds)
    repeat["cpu_share"] = run.cpu_share
    return repeat


def handed_over(seconds: Sequence[float], repeats: int) -> list[Repeat]:
    """All happen in one run, which is cut in as many parts as other measurements have repeats."""
    parts = max(1, min(repeats, len(seconds) // _LEAST))
    edges = [len(seconds) * number // parts for number in range(parts + 1)]
    cut = [seconds[edges[number] : edges[number + 1]] for number in range(parts)]
    return [_timed(sum(part), len(part), median(part)) for part in cut]


def _timed(seconds: float, count: int, median_seconds: float) -> Repeat:
    repeat = _repeat(seconds, count)
    repeat["ops_per_s"] = 1 / median_seconds if median_seconds > 0 else 0.0
    return repeat


def _repeat(seconds: float, operations: int) -> Repeat:
    """Without samples, so each counts as a whole; an fsync is not told apart from its unit."""
    return {
        "mb_per_s": None,
        "seconds": seconds,
        "bytes": 0,
        "operations": operations,
        "errors": 0,
        "steady": True,
        "samples_mb_per_s": [],
        "first_done_seconds": seconds,
        "last_done_seconds": seconds,
        "fsync_seconds": 0.0,
        "close_seconds": 0.0,
        "cpu_share": 0.0,
    }
