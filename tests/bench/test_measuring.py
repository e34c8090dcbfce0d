"""From runs to a result: what a repeat is worth, without a mount."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.bench.contexts import context_on
from volumelease.bench.document import Result
from volumelease.bench.engine import Run
from volumelease.bench.measuring import Measurement


def a_run(rate: float, *, steady: bool = True, samples: int = 6, **answer: Any) -> Run:
    whole = {"bytes": 1, "done_seconds": 2.0, **answer}
    return Run(rate * 1e6, steady, 2.0, (rate * 1e6,) * samples, (whole,), 0.1)


def result_of(directory: Path, *runs: Run, **options: Any) -> Result:
    measurement = Measurement("sequential-write", 1, 1 << 20, False, **options)
    for run in runs:
        measurement.add(run)
    with context_on(directory) as context:
        return measurement.result(context)


@pytest.mark.parametrize("fixed_work", [False, True])
def test_one_repeat_is_too_few_and_not_unsteady(tmp_path: Path, fixed_work: bool) -> None:
    result = result_of(tmp_path, a_run(300), fixed_work=fixed_work)
    assert "few-repeats" in result["flags"]
    assert "not-steady" not in result["flags"]
    assert not result["steady"]


def test_one_repeat_that_was_not_steady_says_so(tmp_path: Path) -> None:
    assert "not-steady" in result_of(tmp_path, a_run(300, steady=False))["flags"]


@pytest.mark.parametrize(
    ("counted", "samples", "expected"), [(0, 0, 5), (0, 1, 5), (2, 1, 5), (6, 1, 6), (2, 2, 2)]
)
def test_a_writer_too_slow_for_its_bytes_to_count_is_rated_by_all_of_its_time(
    counted: float, samples: int, expected: float
) -> None:
    measurement = Measurement("sequential-write", 1, 1 << 20, False)
    answer = {"bytes": 40_000_000, "done_seconds": 8.0, "fsync_seconds": 0.1}
    measurement.add(a_run(counted, steady=False, samples=samples, **answer))
    (repeat,) = measurement.repeats
    assert repeat["mb_per_s"] == pytest.approx(expected)
    assert repeat["ops_per_s"] == pytest.approx(expected * 1e6 / (1 << 20))


def test_what_wrote_nothing_got_nothing() -> None:
    measurement = Measurement("sequential-write", 1, 1 << 20, False)
    measurement.add(a_run(0, steady=False, samples=0, bytes=0))
    assert measurement.repeats[0]["mb_per_s"] == 0
