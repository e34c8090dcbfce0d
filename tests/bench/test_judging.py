"""What shows when results are put side by side: caches, latency, caps of one stream; and that two
engines take turns."""

from __future__ import annotations

from typing import Any

import pytest

from volumelease.bench.checking import turns
from volumelease.bench.document import Result
from volumelease.bench.judging import judge


def result(scenario: str, rate: float, **facts: Any) -> Result:
    found: dict[str, Any] = {
        "scenario": scenario,
        "jobs": 1,
        "block_bytes": 1 << 20,
        "direct": True,
        "median_mb_per_s": rate,
        "ci95_mb_per_s": [rate * 0.99, rate * 1.01],
        "steady": True,
        "burst_ratio": 1.0,
        "verdict": "typical",
        "flags": [],
        **facts,
    }
    return found  # type: ignore[return-value]  # a result with facts by name


def test_a_buffered_read_far_above_every_direct_one_came_out_of_a_cache() -> None:
    buffered = result("sequential-read", 7038, direct=False)
    notes = judge([result("sequential-read", 300), buffered])
    assert buffered["verdict"] == "cache suspected"
    assert "cache" in notes[0]


def test_a_buffered_read_like_the_direct_ones_is_believed() -> None:
    buffered = result("sequential-read", 310, direct=False)
    assert judge([result("sequential-read", 300), buffered]) == []
    assert buffered["flags"] == []


def test_mmap_is_latency_bound_where_many_requests_at_once_get_more() -> None:
    mapped = result("model-load", 210, variant="mmap", direct=False)
    notes = judge([mapped, result("model-load", 1877, variant="threads")])
    assert mapped["flags"] == ["latency-bound"]
    assert "1,877" in notes[0]
    assert "210" in notes[0]


def test_a_cap_of_one_stream_is_told() -> None:
    one = result("sequential-read", 305)
    notes = judge([one, result("sequential-read", 1474, jobs=8)])
    assert one["flags"] == ["stream-capped"]
    assert "8 get 1,474" in notes[0]


def test_the_generator_is_not_taken_for_a_cap() -> None:
    one = result("sequential-read", 14_000, flags=["generator-bound"])
    assert judge([one, result("sequential-read", 30_000, jobs=2)]) == []


def test_nothing_follows_from_what_never_became_steady() -> None:
    one = result("sequential-read", 43, steady=False)
    assert judge([one, result("sequential-read", 126, jobs=8, steady=False)]) == []
    assert one["flags"] == []


def test_one_repeat_that_became_steady_is_no_verdict_but_can_be_compared() -> None:
    mapped, threads = (
        result("model-load", speed, variant=way, steady=False, verdict="inconclusive",
               repeats=[{"steady": True, "samples_mb_per_s": []}])
        for speed, way in ((210, "mmap"), (1877, "threads"))
    )  # fmt: skip
    assert judge([mapped, threads])
    assert mapped["flags"] == ["latency-bound"]
    assert mapped["verdict"] == "inconclusive"
    mapped["repeats"] = [{"steady": False}]  # type: ignore[typeddict-item]  # one field of it
    assert judge([mapped, threads]) == []


@pytest.mark.parametrize(("slowest", "told"), [(430.0, True), (410.0, False)])
def test_many_requests_that_waver_count_with_their_slowest_moment(
    slowest: float, told: bool
) -> None:
    mapped = result("model-load", 210, variant="mmap")
    repeats = [{"steady": False, "samples_mb_per_s": [1900.0, slowest, 700.0]}]
    threads = result("model-load", 700, variant="threads", steady=False, repeats=repeats)
    notes = judge([mapped, threads])
    assert (mapped["flags"] == ["latency-bound"]) == bool(notes) == told


def test_wrong_data_is_the_note_that_nobody_misses() -> None:
    notes = judge([result("sequential-read", 300, flags=["wrong-data"])])
    assert "not what was written" in notes[0]


def test_two_engines_take_turns_and_each_begins_half_of_the_time() -> None:
    first = [turns(pair)[0] for pair in range(6)]
    assert first.count(True) == first.count(False) == 3
    assert all(set(turns(pair)) == {True, False} for pair in range(6))
