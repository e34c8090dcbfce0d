"""What only shows when results are put side by side: caches, latency, caps of one stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .document import Flag, Result
from .verdicts import verdict

FASTER_THAN_THE_VOLUME: Final = 2.0
"""A buffered read that is so many times faster than every direct one came out of a cache."""
MUCH_FASTER: Final = 2.0


def judge(results: Sequence[Result]) -> list[str]:
    """Add the flags to results, and return what a person should read first."""
    return [
        text
        for text in (
            _caches(results),
            _streams(results, "sequential-read"),
            _streams(results, "sequential-write"),
            _latency(results),
            _differences(results),
        )
        if text
    ]


def rate(results: Sequence[Result], scenario: str, **wanted: object) -> float:
    """The best median of those results, in MB/s; 0 when there is none."""
    return max(
        (result["median_mb_per_s"] or 0.0 for result in _of(results, scenario, **wanted)),
        default=0.0,
    )


def _of(results: Sequence[Result], scenario: str, **wanted: object) -> list[Result]:
    return [
        result
        for result in results
        if result["scenario"] == scenario
        and all(result.get(name) == value for name, value in wanted.items())
    ]


def flag(result: Result, name: Flag, note: str = "") -> None:
    """Add a flag, and let the verdict follow from it."""
    result["flags"] = sorted({*result["flags"], name})
    if note:
        result.setdefault("notes", []).append(note)
    interval = result["ci95_mb_per_s"]
    if result["verdict"] and interval:
        low, high = interval
        result["verdict"] = verdict(low, high, steady=result["steady"], flags=result["flags"])


def _caches(results: Sequence[Result]) -> str:
    direct = rate(results, "sequential-read", direct=True)
    said = ""
    for result in [
        *_of(results, "sequential-read", direct=False),
        *_of(results, "model-load", direct=False),
    ]:
        if direct and (result["median_mb_per_s"] or 0.0) > FASTER_THAN_THE_VOLUME * direct:
            flag(result, "cache-suspected")
            said = (
                f"buffered reads are more than twice as fast as any direct read "
                f"({direct:,.0f} MB/s): they came out of a cache"
            )
    return said


def _streams(results: Sequence[Result], scenario: str) -> str:
    direct = _of(results, scenario, direct=True)
    one = next((result for result in direct if result["jobs"] == 1), None)
    many = max((r for r in direct if r["jobs"] > 1), key=_median, default=None)
    if one is None or many is None or not _median(one) or "generator-bound" in one["flags"]:
        return ""
    if _median(many) < MUCH_FASTER * _median(one):
        return ""
    flag(one, "stream-capped")
    return (
        f"{scenario}: one stream gets {_median(one):,.0f} MB/s, {many['jobs']} get "
        f"{_median(many):,.0f}: use several at once"
    )


def _latency(results: Sequence[Result]) -> str:
    """One request at a time is what mmap and plain reads come down to: on a mount that takes 1 ms
    for each they get 210 MB/s where eight threads of 4 MiB get 1,877 (measured)."""
    threads = max(map(_at_least, _of(results, "model-load", variant="threads")), default=0.0)
    slow = [
        result
        for variant in ("mmap", "read")
        for result in _of(results, "model-load", variant=variant)
        if _median(result)
        and threads > MUCH_FASTER * _median(result)
        and "generator-bound" not in result["flags"]
    ]
    if not slow:
        return ""
    for result in slow:
        flag(result, "latency-bound")
    worst = min(map(_median, slow))
    return (
        f"model-load: mmap and plain reads get {worst:,.0f} MB/s, eight threads of 4 MiB get "
        f"{threads:,.0f}: it is latency that limits them, so load with many requests at once"
    )


def _differences(results: Sequence[Result]) -> str:
    wrong = [result["scenario"] for result in results if "wrong-data" in result["flags"]]
    if not wrong:
        return ""
    return f"{', '.join(dict.fromkeys(wrong))}: what was read is not what was written"


def _at_least(result: Result) -> float:
    """The value, or the slowest moment of what never became steady: many requests at once waver
    with whatever else this machine does. Limit: credit for bursts that lasts longer than the
    measurement passes for speed, as it does for a steady one."""
    samples = [s for repeat in result.get("repeats", []) for s in repeat["samples_mb_per_s"]]
    return _median(result) or min(samples, default=0.0)


def _median(result: Result) -> float:
    """0 of what never became steady: nothing follows from it. One repeat is no verdict, but if it
    became steady it can stand beside others."""
    repeats = result.get("repeats", [])
    steady = all(repeat["steady"] for repeat in repeats) if repeats else result["steady"]
    return (result["median_mb_per_s"] or 0.0) if steady else 0.0
