"""Medians and intervals of a few repeats, and when samples have become steady."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from typing import Final

RESAMPLES: Final = 2000
WINDOW: Final = 4
"""Samples that are judged together: a second of them."""
CHECKS: Final = 3
STEADY_CV: Final = 0.05
STEADY_DRIFT: Final = 0.10


def median(values: Sequence[float]) -> float:
    """Errors: ``ValueError`` when there are none."""
    if not values:
        raise ValueError("no values")
    return statistics.median(values)


def interval(
    values: Sequence[float],
    *,
    confidence: float = 0.95,
    statistic: Callable[[Sequence[float]], float] = median,
) -> tuple[float, float]:
    """The percentile bootstrap interval of a statistic over repeats.

    The same values give the same interval. Limit: of three repeats it is hardly more than their
    range, and no interval knows of what happens between runs. One value: an interval of no width.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
    """
    chance = random.Random(repr(tuple(values)))
    found = sorted(statistic(chance.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return _quantile(found, (1 - confidence) / 2), _quantile(found, (1 + confidence) / 2)


def ratio_interval(
    new: Sequence[float], old: Sequence[float], *, confidence: float = 0.95
) -> tuple[float, float]:
    """The bootstrap interval of median(new) / median(old), both resampled."""
    chance = random.Random(repr((tuple(new), tuple(old))))
    found = sorted(
        median(chance.choices(new, k=len(new))) / median(chance.choices(old, k=len(old)))
        for _ in range(RESAMPLES)
    )
    return _quantile(found, (1 - confidence) / 2), _quantile(found, (1 + confidence) / 2)


def variation(values: Sequence[float]) -> float:
    """The coefficient of variation: standard deviation as a share of the mean."""
    mean = statistics.fmean(values)
    return statistics.pstdev(values) / mean if mean > 0 else float("inf")


def drift(values: Sequence[float]) -> float:
    """How far the mean of the second half is from that of the first, as a share."""
    half = len(values) // 2
    first, second = statistics.fmean(values[:half]), statistics.fmean(values[-half:])
    return abs(second - first) / first if first > 0 else float("inf")


def steady_at(samples: Sequence[float]) -> int | None:
    """The number of samples after which a series was steady: CV of a window at most 5 % and its
    drift at most 10 %, three times in a row. None: not yet."""
    passed = 0
    for end in range(WINDOW, len(samples) + 1):
        window = samples[end - WINDOW : end]
        good = variation(window) <= STEADY_CV and drift(window) <= STEADY_DRIFT
        passed = passed + 1 if good else 0
        if passed == CHECKS:
            return end
    return None


LEAST_SAMPLES: Final = WINDOW + CHECKS - 1
"""With fewer no series can be steady."""
STEADY_SAMPLES: Final = LEAST_SAMPLES - 1
"""How many samples at the end of a steady series its value is taken from: all that were judged but
the first, which can hold the last moment of a burst (a tenth more, within the variation)."""


def _quantile(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
