"""compare: no regression by chance, and none overlooked."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from volumelease.bench.comparing import (
    compare,
    not_compared,
    only_in_one,
    rank,
    same_volume,
    student_quantile,
)
from volumelease.cli.bench import command


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


def changed(old: Any, new: Any) -> list[tuple[str, str, str]]:
    return [(one.key[0], one.change, one.note) for one in compare(old, new)]


@pytest.mark.parametrize("standing", [3, 5])
def test_a_standstill_is_a_regression(standing: int) -> None:
    chance = random.Random(12)
    old, new = document({"a": 300}, 0.01, chance), document({"a": 300}, 0.01, chance)
    repeats = [{"mb_per_s": 0.0}] * standing + [{"mb_per_s": 300.0}] * (5 - standing)
    new["results"][0] |= {"repeats": repeats, "median_mb_per_s": 0.0}
    assert changed(old, new) == [("a", "regression", "it stands still")]
    assert changed(new, new) == []


def test_one_repeat_that_stood_still_is_not_left_out() -> None:
    chance = random.Random(13)
    old, new = document({"a": 300}, 0.001, chance), document({"a": 300}, 0.001, chance)
    assert [one.change for one in compare(old, new)] == ["no change"]
    new["results"][0]["repeats"][1] = {"mb_per_s": 0.0}
    (one,) = compare(old, new)
    assert one.change == "unclear"


@pytest.mark.parametrize(
    ("scenario", "block"), [("sequential-read", 1 << 20), ("sequential-read", 0), ("sequential", 0)]
)
def test_what_fails_now_is_a_regression(scenario: str, block: int) -> None:
    """By itself, or with all of its scenario."""
    chance = random.Random(14)
    rates = {"sequential-read": 300.0, "sequence": 200.0}
    old, new = document(rates, 0.001, chance), document(rates, 0.001, chance)
    failure = {**new["results"][0], "scenario": scenario, "block_bytes": block, "failed": "EIO"}
    del failure["repeats"]
    new["results"][0] = failure | {"median_mb_per_s": None, "flags": ["errors"]}
    assert changed(old, new) == [
        ("sequence", "no change", ""),
        ("sequential-read", "regression", "EIO"),
    ]
    assert only_in_one(old, new) == ([], [])
    assert changed(new, new) == [("sequence", "no change", "")]
    new["results"][0]["flags"] = ["short"]
    assert changed(old, new) == [("sequence", "no change", "")], "it had no time"
    assert only_in_one(old, new) == (["sequential-read 1 MiB direct"], [])


def test_what_only_one_has_is_named() -> None:
    chance = random.Random(15)
    old, new = (document({"a": 1, name: 1}, 0, chance) for name in "bc")
    assert only_in_one(old, new) == (["b 1 MiB direct"], ["c 1 MiB direct"])


@pytest.mark.parametrize("repeats", [1, 2])
def test_too_few_repeats_say_so(repeats: int) -> None:
    chance = random.Random(16)
    old, new = document({"a": 300}, 0.05, chance), document({"a": 250}, 0.05, chance)
    for found in (old, new):
        del found["results"][0]["repeats"][repeats:]
    assert changed(old, new) == [("a", "unclear", "too few repeats to tell")]
    (one,) = compare(old, new)
    assert (one.as_document()["ci95_ratio"] is None) == (repeats == 1)


def leases(mb_per_s: float, seconds: float) -> Any:
    """What leases cost, as ``lease_cost`` tells it."""
    chance = random.Random(17)
    found = document({"lease-cost": mb_per_s, "acquire": 1 / seconds}, 0.001, chance)
    acquire = found["results"][1]
    acquire |= {"scenario": "lease-cost", "variant": "acquire and release", "block_bytes": 0}
    acquire |= {"median_mb_per_s": None, "latency_us": {"p50": seconds * 1e6}}
    for repeat in acquire["repeats"]:
        repeat |= {"ops_per_s": repeat["mb_per_s"], "mb_per_s": None}
    return found


def test_leases_that_got_dearer_are_a_regression() -> None:
    found = compare(leases(300.0, 0.0005), leases(300.0, 0.001))
    assert [(one.name, one.change) for one in found] == [
        ("lease-cost 1 MiB direct", "no change"),
        ("lease-cost acquire and release", "regression"),
    ]
    assert compare(leases(300.0, 0.001), leases(300.0, 0.0005))[1].change == "improvement"


@pytest.mark.parametrize(
    ("older", "why"),
    [
        ((True, False), "no repeats in the old one"),
        ((False, True), "no repeats in the new one"),
        ((True, True), "no repeats in the old and the new one"),
    ],
)
def test_what_has_no_repeats_is_named(older: tuple[bool, bool], why: str) -> None:
    """As ``lease-cost`` had none in older documents."""
    documents = [leases(300.0, 0.0005) for _ in range(2)]
    for without, found in zip(older, documents, strict=True):
        for result in found["results"] if without else ():
            del result["repeats"]
    old, new = documents
    names = ["lease-cost 1 MiB direct", "lease-cost acquire and release"]
    assert not_compared(old, new) == [(name, why) for name in names]
    assert compare(old, new) == []
    assert only_in_one(old, new) == ([], [])


def test_why_what_both_have_is_not_compared() -> None:
    chance = random.Random(18)
    old, new = (document(dict.fromkeys("abcdef", 300.0), 0.001, chance) for _ in range(2))
    old["results"][0]["flags"] = new["results"][1]["flags"] = ["wrong-data"]
    old["results"][2] |= {"repeats": [{"mb_per_s": 0.0}] * 3, "median_mb_per_s": 0.0}
    old["results"][3]["failed"] = old["results"][4]["failed"] = new["results"][4]["failed"] = "EIO"
    assert [(name[0], why) for name, why in not_compared(old, new)] == [
        ("a", "wrong-data"),
        ("b", "wrong-data"),
        ("c", "it stood still before"),
        ("e", "no value in either"),
    ]
    assert [one.key[0] for one in compare(old, new)] == ["f"]


def test_the_command_names_what_it_does_not_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = leases(300.0, 0.0005)
    for result in old["results"]:
        del result["repeats"]
    names = [str(tmp_path / name) for name in ("old.json", "new.json")]
    for name, found in zip(names, (old, leases(300.0, 0.0005)), strict=True):
        Path(name).write_text(json.dumps(found))

    def said(*more: str) -> str:
        with command.make_context("bench", ["compare", *names, *more]) as context:
            assert command.invoke(context) == 0
        return capsys.readouterr().out

    assert (
        "not compared (no repeats in the old one): "
        "lease-cost 1 MiB direct, lease-cost acquire and release"
    ) in said()
    (comparison,) = json.loads(said("--json"))["comparisons"]
    assert comparison["not_compared"][0] == {
        "result": "lease-cost 1 MiB direct",
        "why": "no repeats in the old one",
    }


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
