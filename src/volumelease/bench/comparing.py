"""What changed between two documents, and which of several volumes starts a worker first.

A regression is a ratio whose whole interval is below 0.95; and what had a value, and stands still
or fails now. The intervals of all results of one
comparison hold together at 95 % (Bonferroni), so that one of twenty doesn't fail by chance.
Limit: runs at different times may differ by more than any interval of repeats knows (0.83 to 1.95
on one disk, measured): when it matters, run them in turn, A B A B.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from .believed import doubts
from .document import Document, Result
from .layout import block_name, way

REGRESSION: Final = 0.95
IMPROVEMENT: Final = 1.05
Change = Literal["regression", "improvement", "no change", "unclear"]
Key = tuple[str, str, int, int, bool]

_FEW: Final = 3
TOO_FEW: Final = "too few repeats to tell"
_STILL: Final = 0.01
"""Of the median: what a repeat that got nothing at all counts as, beside others that did."""
_LEAST_SPREAD: Final = 0.005
"""Repeats that agree better than that agree by chance, with so few of them."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One result in both documents. ``ratio``: new to old, with its interval, which has no
    upper end with a single repeat. ``note``: what should be known of it."""

    key: Key
    old: float
    new: float
    unit: str
    ratio: float
    low: float
    high: float
    note: str = ""

    @property
    def name(self) -> str:
        """What was measured, in words."""
        return _name(self.key)

    def as_document(self) -> dict[str, object]:
        """The same for programs."""
        scenario, variant, jobs, block_bytes, direct = self.key
        return {
            "scenario": scenario,
            "variant": variant,
            "jobs": jobs,
            "block_bytes": block_bytes,
            "direct": direct,
            "unit": self.unit,
            "old": self.old,
            "new": self.new,
            "ratio": self.ratio,
            "ci95_ratio": None if math.isinf(self.high) else [self.low, self.high],
            "change": self.change,
            "note": self.note,
        }

    @property
    def change(self) -> Change:
        """What the whole interval says."""
        if self.high < REGRESSION:
            return "regression"
        if self.low > IMPROVEMENT:
            return "improvement"
        inside = self.low >= REGRESSION and self.high <= IMPROVEMENT
        return "no change" if inside else "unclear"


def compare(old: Document, new: Document) -> list[Comparison]:
    """Every result that both have, in the order of ``new``, then those that fail now. Left out is
    what had no value before, or did not come from the volume."""
    before = {key_of(result): result for result in old["results"] if _value(result)}
    pairs = [
        (before[key], result)
        for result in new["results"]
        if (key := key_of(result)) in before and _usable(result) and _usable(before[key])
    ]
    confidence = 1 - 0.05 / max(1, len(pairs))
    found = [_comparison(first, second, confidence) for first, second in pairs]
    return [*found, *_failures(before, new)]


def only_in_one(old: Document, new: Document) -> tuple[list[str], list[str]]:
    """What only the old document has, and only the new one, in words. What fails now is a
    comparison, and in neither."""
    kept = [{key_of(r) for r in d["results"] if "failed" not in r} for d in (old, new)]
    failures = {one.key for one in compare(old, new) if one.new == 0}
    return (
        [_name(key) for key in map(key_of, old["results"]) if key in kept[0] - kept[1] - failures],
        [_name(key) for key in map(key_of, new["results"]) if key in kept[1] - kept[0]],
    )


def not_compared(old: Document, new: Document) -> list[tuple[str, str]]:
    """What both have and ``compare`` leaves out, in words, and why."""
    before, after = ({key_of(result): result for result in d["results"]} for d in (old, new))
    compared = {one.key for one in compare(old, new)}
    found = []
    for key in [key for key in after if key in before and key not in compared]:
        pair = before[key], after[key]
        if len(["" for result in pair if "failed" in result]) != 1:  # else only one has a value
            found.append((_name(key), _why_not(*pair)))
    return found


def _why_not(old: Result, new: Result) -> str:
    if "failed" in new:
        return "no value in either"
    if doubted := sorted({*doubts(old), *doubts(new)}):
        return ", ".join(doubted)
    lacking = [name for name, one in (("old", old), ("new", new)) if not _values(one)]
    if lacking:
        return f"no repeats in the {' and the '.join(lacking)} one"
    return "it stood still before"


def _failures(before: dict[Key, Result], new: Document) -> Iterator[Comparison]:
    """What had a value and fails now, by itself or with all of its scenario. What there was no
    time for is no failure."""
    there = {key_of(result) for result in new["results"] if "failed" not in result}
    failed = [r for r in new["results"] if "failed" in r and "short" not in r["flags"]]
    for key, result in before.items():
        why = next((one["failed"] for one in failed if _fails(one, key)), None)
        if why is not None and key not in there:
            yield Comparison(key, _value(result), 0.0, _unit(result), 0.0, 0.0, 0.0, why)


def _fails(result: Result, key: Key) -> bool:
    """A scenario that fails as a whole is one result, called by its name alone."""
    name, scenario = result["scenario"], key[0]
    whole = not result.get("variant") and not result["block_bytes"]
    return key_of(result) == key or (
        whole and (scenario == name or scenario[: len(name) + 1] == f"{name}-")
    )


def _name(key: Key) -> str:
    scenario, variant, jobs, block, direct = key
    how = f"{block_name(block)} {way(direct)}" if block else ""
    return " ".join(filter(None, (scenario, variant, f"{jobs} jobs" if jobs > 1 else "", how)))


def rank(documents: Sequence[tuple[str, Document]]) -> list[tuple[str, float, str]]:
    """(name, seconds, way) of volumes by the seconds until a 7B model is loaded cold, in the best
    way that each has; those without that measurement last, with infinity."""
    found = []
    for name, document in documents:
        loads = [
            (result["cold_start_seconds"]["7B"], result.get("variant", ""))
            for result in document["results"]
            if "cold_start_seconds" in result and not doubts(result)
        ]
        seconds, way = min(loads, default=(math.inf, "not measured"))
        found.append((name, seconds, way))
    return sorted(found, key=lambda volume: volume[1])


def key_of(result: Result) -> Key:
    """What makes two results the same measurement."""
    return (
        result["scenario"],
        result.get("variant", ""),
        result["jobs"],
        result["block_bytes"],
        result["direct"],
    )


def same_volume(documents: Sequence[Document]) -> bool:
    """Whether all are of one mount, as far as its source tells."""
    mounts = {
        (d["mount"]["source"], d["mount"]["fstype"], d["mount"]["directory"]) for d in documents
    }
    return len(mounts) == 1


def _usable(result: Result) -> bool:
    return not doubts(result) and bool(_values(result))


def _values(result: Result) -> list[float]:
    """Those of all repeats, 0 of one that got nothing."""
    return [
        (repeat["mb_per_s"] if repeat["mb_per_s"] is not None else repeat.get("ops_per_s")) or 0.0
        for repeat in result.get("repeats", [])
    ]


def _value(result: Result) -> float:
    """0 of what failed, stood still or has no rate."""
    if "failed" in result:
        return 0.0
    values = _values(result)
    return statistics.median(values) if values else result["median_mb_per_s"] or 0.0


def _unit(result: Result) -> str:
    return "MB/s" if result["median_mb_per_s"] is not None else "operations/s"


def _comparison(old: Result, new: Result, confidence: float) -> Comparison:
    key, unit, before, after = key_of(new), _unit(new), _values(old), _values(new)
    median_old, median_new = statistics.median(before), statistics.median(after)
    if not median_new:
        return Comparison(key, median_old, 0.0, unit, 0.0, 0.0, 0.0, "it stands still")
    ratio = median_new / median_old
    repeats = min(len(before), len(after))
    if repeats < 2:
        return Comparison(key, median_old, median_new, unit, ratio, 0.0, math.inf, TOO_FEW)
    low, high = ratio_interval(_moving(after), _moving(before), confidence)
    low, high = min(low, ratio), max(high, ratio)
    found = Comparison(key, median_old, median_new, unit, ratio, low, high)
    return replace(found, note=TOO_FEW) if found.change == "unclear" and repeats < _FEW else found


def _moving(values: Sequence[float]) -> list[float]:
    least = statistics.median(values) * _STILL
    return [max(value, least) for value in values]


def ratio_interval(
    new: Sequence[float], old: Sequence[float], confidence: float
) -> tuple[float, float]:
    """The interval of new to old by Welch's t test on logarithms: rates differ by factors, and a
    bootstrap of three repeats knows nothing beyond their range.

    Source: B. L. Welch, Biometrika 34 (1947).
    """
    logs = [[math.log(value) for value in values] for values in (new, old)]
    parts = [max(statistics.variance(values), _LEAST_SPREAD**2) / len(values) for values in logs]
    error = math.sqrt(sum(parts))
    freedom: float = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, logs, strict=True)
    )
    middle = statistics.fmean(logs[0]) - statistics.fmean(logs[1])
    reach = student_quantile((1 + confidence) / 2, freedom) * error
    return math.exp(middle - reach), math.exp(middle + reach)


def student_quantile(share: float, freedom: float) -> float:
    """The quantile of Student's t distribution, for shares above one half."""
    low, high = 0.0, 1e4
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_cdf(middle, freedom) < share else (low, middle)
    return (low + high) / 2


def _student_cdf(t: float, freedom: float) -> float:
    """By Simpson's rule over the angle with t = sqrt(freedom) * tan(angle), where the density is a
    power of the cosine and has no tail."""
    end, steps = math.atan(t / math.sqrt(freedom)), 100
    step = end / steps
    weights = [1, *[4, 2] * (steps // 2 - 1), 4, 1]
    area: float = (
        step
        / 3
        * sum(
            weight * math.cos(number * step) ** (freedom - 1)
            for number, weight in enumerate(weights)
        )
    )
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    return 0.5 + scale * area
