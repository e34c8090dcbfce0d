"""Latency histograms with log-linear buckets, as of HdrHistogram: 32 for each power of two, so a
value is off by 1.6 % at most, and those of several jobs add up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .document import Latency

_BITS: Final = 5
_BUCKETS: Final = 1 << _BITS

Counts = dict[int, int]


def bucket(nanoseconds: int) -> int:
    """The bucket of a value; buckets grow with their values."""
    shift = nanoseconds.bit_length() - _BITS - 1
    if shift <= 0:
        return nanoseconds
    return (shift << _BITS) + (nanoseconds >> shift)


def lower_edge(number: int) -> int:
    """The smallest value of a bucket, in nanoseconds."""
    if number < 2 * _BUCKETS:
        return number
    shift = (number >> _BITS) - 1
    return (number - (shift << _BITS)) << shift


def merge(into: Counts, more: Mapping[int, int]) -> None:
    for number, count in more.items():
        into[number] = into.get(number, 0) + count


def percentile(counts: Mapping[int, int], share: float) -> float:
    """Nanoseconds, the middle of the bucket that holds it. 0 without any values."""
    total = sum(counts.values())
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= share * total:
            return (lower_edge(number) + lower_edge(number + 1) - 1) / 2
    return 0.0


def latency(counts: Mapping[int, int], max_ns: int) -> Latency:
    """The percentiles of the document, in microseconds."""

    def at(share: float) -> float:
        return min(percentile(counts, share), max_ns) / 1e3

    return {
        "count": sum(counts.values()),
        "p50": at(0.5),
        "p95": at(0.95),
        "p99": at(0.99),
        "p999": at(0.999),
        "max": max_ns / 1e3,
        "histogram": [[lower_edge(number), counts[number]] for number in sorted(counts)],
    }
