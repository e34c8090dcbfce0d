"""The page of benchmark results is made from the results, never typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.page import PAGE, RESULTS, page, shown

ONE: dict[str, Any] = {
    "title": "a lease",
    "where": "MooseFS test bed",
    "environment": {
        "command": "python -m benchmarks x",
        "commit": "abc",
        "python": "3.11",
        "kernel": "6",
        "cpus": 2,
        "load": 0.51,
    },
    "results": {"ours": {"p50_us": 562.8, "p99_us": 2_191.19, "n": 500}},
    "ratios": [{"ours": "ours", "theirs": "theirs", "ratio": 1.504, "goal": 1.5}],
    "limits": [{"name": "ours", "slowest": True, "measured_us": 9.0, "most_us": 10.0}],
}


def test_the_page_of_results_is_what_the_results_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(RESULTS), "run: python -m benchmarks.page"


def test_every_figure_is_shown_with_its_unit_and_every_goal_with_its_end(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(ONE))
    shows = page(tmp_path)
    assert "## a lease, on MooseFS" in shows
    assert "| ours | 563 us | 2.19 ms | 500 |" in shows
    assert "ours takes 1.50 of theirs (goal: at most 1.5), **missed**" in shows
    assert "ours: the slowest 9 us (goal: at most 10 us), met" in shows
    assert "`python -m benchmarks x` at abc: Python 3.11, Linux 6, 2 CPUs, load 0.5." in shows


def test_a_time_is_shown_in_the_unit_that_suits_it() -> None:
    assert [shown(us) for us in (0.5, 999.4, 1_000, 99_960, 1_234_567)] == [
        "0.5 us",
        "999 us",
        "1 ms",
        "100 ms",
        "1.23 s",
    ]
