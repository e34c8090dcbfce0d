"""Log-linear buckets: small errors, and sums of several jobs."""

from __future__ import annotations

import random

from volumelease.bench.histograms import bucket, latency, lower_edge, merge, percentile


def test_a_bucket_holds_its_values_and_grows_with_them() -> None:
    chance = random.Random(2)
    values = sorted([*range(200), *(int(10 ** chance.uniform(2, 12)) for _ in range(2000))])
    numbers = [bucket(value) for value in values]
    assert numbers == sorted(numbers)
    for value, number in zip(values, numbers, strict=True):
        assert lower_edge(number) <= value < lower_edge(number + 1)


def test_a_bucket_is_narrow() -> None:
    for value in (100, 12_345, 10**6, 10**10):
        width = lower_edge(bucket(value) + 1) - lower_edge(bucket(value))
        assert width <= value / 31


def test_percentiles_of_merged_jobs_are_those_of_all_values() -> None:
    chance = random.Random(3)
    values = [int(chance.lognormvariate(11, 1)) for _ in range(20_000)]
    counts: dict[int, int] = {}
    for half in (values[:5000], values[5000:]):
        one: dict[int, int] = {}
        for value in half:
            one[bucket(value)] = one.get(bucket(value), 0) + 1
        merge(counts, one)
    values.sort()
    for share in (0.5, 0.95, 0.99, 0.999):
        exact = values[int(share * len(values))]
        assert abs(percentile(counts, share) - exact) <= 0.035 * exact


def test_no_percentile_is_above_the_slowest() -> None:
    found = latency({bucket(1_000_100): 3}, 1_000_100)
    assert found["p50"] <= found["max"] == 1000.1
    assert found["count"] == 3


def test_no_operations_have_no_latency() -> None:
    assert latency({}, 0)["p99"] == 0.0
