"""compare: no regression by chance, and none overlooked."""

from __future__ import annotations

import random
from typing import Any

import pytest

from volumelease.bench.comparing import compare, rank, same_volume, student_quantile


def document(rates: dict[str, float], noise: float, chance: random.Random, **facts: Any) -> Any:
    """A run that saw these rates, give or take."""
    return {
        "schema": 1,
        "mount": {"source": "mfs#host", "fstype": "fuse", "directory": "/mnt", **facts},
        "results": [
            {
                "scenario": name,
                "jobs": 1,
                "block_bytes": 1 << 20,
                "direct": True,
                "median_mb_per_s": rate,
                "flags": [],
                "repeats": [{"mb_per_s": rate * chance.gauss(1, noise)} for _ in range(3)],
            }
            for name, rate in rates.items()
        ],
    }


RATES = {f"scenario-{number}": 100.0 * (number + 1) for number in range(12)}


@pytest.mark.parametrize("noise", [0.01, 0.2])
def test_the_same_mount_is_no_regression_in_20_tries(noise: float) -> None:
    chance = random.Random(4)
    for _ in range(20):
        old, new = (document(RATES, noise, chance) for _ in range(2))
        assert "regression" not in [one.change for one in compare(old, new)]


@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_a_mount_that_is_15_percent_slower_is_reported_in_20_of_20(noise: float) -> None:
    chance = random.Random(5)
    slower = {name: rate * 0.85 for name, rate in RATES.items()}
    for _ in range(20):
        found = compare(document(RATES, noise, chance), document(slower, noise, chance))
        assert "regression" in [one.change for one in found]


def test_the_interval_holds_the_ratio() -> None:
    chance = random.Random(6)
    (one,) = compare(document({"a": 100}, 0.02, chance), document({"a": 90}, 0.02, chance))
    assert one.low < one.ratio < one.high
    assert one.as_document()["ci95_ratio"] == [one.low, one.high]


def test_four_percent_slower_is_no_regression_however_certain() -> None:
    chance = random.Random(7)
    (one,) = compare(document({"a": 100}, 0, chance), document({"a": 96}, 0, chance))
    assert one.change != "regression"


def test_what_came_out_of_a_cache_is_not_compared() -> None:
    chance = random.Random(8)
    old, new = document({"a": 7000}, 0, chance), document({"a": 300}, 0, chance)
    old["results"][0]["flags"] = ["cache-suspected"]
    assert compare(old, new) == []


def test_operations_without_throughput_are_compared() -> None:
    chance = random.Random(9)
    old, new = document({"metadata": 5000}, 0, chance), document({"metadata": 2500}, 0, chance)
    for found in (old, new):
        result = found["results"][0]
        result["repeats"] = [
            {"mb_per_s": None, "ops_per_s": repeat["mb_per_s"]} for repeat in result["repeats"]
        ]
        result["median_mb_per_s"] = None
    (one,) = compare(old, new)
    assert (one.change, one.unit) == ("regression", "operations/s")


def test_volumes_are_ranked_by_their_best_cold_start() -> None:
    chance = random.Random(10)

    def loading(**seconds: float) -> Any:
        found = document({}, 0, chance)
        found["results"] = [
            {"variant": way, "flags": [], "cold_start_seconds": {"7B": taken}}
            for way, taken in seconds.items()
        ]
        return found

    ranking = rank(
        [("a", loading(mmap=60.0, threads=30.0)), ("b", loading(mmap=20.0)), ("c", loading())]
    )
    assert [(name, way) for name, _, way in ranking] == [
        ("b", "mmap"),
        ("a", "threads"),
        ("c", "not measured"),
    ]


def test_two_mounts_are_two_volumes() -> None:
    chance = random.Random(11)
    here = document({}, 0, chance)
    assert same_volume([here, document({}, 0, chance)])
    assert not same_volume([here, document({}, 0, chance, source="mfs#other")])


@pytest.mark.parametrize(
    ("share", "freedom", "expected"),
    [(0.975, 4, 2.7764), (0.975, 10, 2.2281), (0.995, 2, 9.9248), (0.975, 1000, 1.9623)],
)
def test_quantiles_are_those_of_the_tables(share: float, freedom: float, expected: float) -> None:
    assert student_quantile(share, freedom) == pytest.approx(expected, abs=1e-3)
