"""The engine: processes that start together, are sampled, and end with it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import children_of, eventually, runs
from volumelease.bench.engine import Engine
from volumelease.bench.measuring import Measurement
from volumelease.bench.page import Page
from volumelease.bench.problems import BenchProblem

ROOT = Path(__file__).parents[2]
TASKS = "tests.bench.tasks"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with Engine() as engine:
        yield engine


@pytest.mark.parametrize("mb_per_s", [150, 300, 3000])
def test_a_known_speed_is_measured_exactly(engine: Engine, mb_per_s: int) -> None:
    orders = [{"bytes_per_s": mb_per_s * 1e6 / 2}] * 2
    run = engine.run(f"{TASKS}:paced", orders, seconds=20, until_steady=True)
    assert run.bytes_per_s / 1e6 == pytest.approx(mb_per_s, rel=1e-3)
    assert run.steady


def test_a_burst_is_not_taken_for_the_speed(engine: Engine) -> None:
    order = {"bytes_per_s": 200e6, "credit_bytes": 1_000_000_000}
    run = engine.run(f"{TASKS}:paced", [order], seconds=20, until_steady=True)
    assert run.steady
    assert run.bytes_per_s / 1e6 == pytest.approx(200, rel=1e-3)
    assert max(run.samples) > 3 * run.bytes_per_s


def test_what_was_not_steady_in_time_says_so(engine: Engine) -> None:
    order = {"bytes_per_s": 200e6, "credit_bytes": 1_000_000_000}
    run = engine.run(f"{TASKS}:paced", [order], seconds=0.6, until_steady=True)
    assert not run.steady


def test_work_of_one_piece_is_rated_from_beginning_to_end(engine: Engine) -> None:
    run = engine.run(f"{TASKS}:fixed", [{"bytes": 600_000_000, "seconds": 3.0}], whole=True)
    assert run.bytes_per_s == pytest.approx(200e6)


def test_jobs_of_one_run_add_up_and_keep_their_own_end(engine: Engine) -> None:
    orders = [{"bytes": 10**9, "seconds": seconds} for seconds in (1.0, 4.0)]
    measurement = Measurement("fixed", 2, 0, False)
    measurement.add(engine.run(f"{TASKS}:fixed", orders, whole=True))
    (repeat,) = measurement.repeats
    assert repeat["mb_per_s"] == pytest.approx(1250)
    assert (repeat["first_done_seconds"], repeat["last_done_seconds"]) == (1.0, 4.0)


@pytest.mark.parametrize(("fsync", "expected"), [(0.0, 150), (0.05, 150), (2.0, 75)])
def test_what_a_client_held_back_until_the_fsync_counts_with_its_time(
    engine: Engine, fsync: float, expected: float
) -> None:
    order = {"bytes": 300_000_000, "seconds": 2.0, "fsync_seconds": fsync}
    measurement = Measurement("sequential-write", 1, 1 << 20, True)
    measurement.add(engine.run(f"{TASKS}:fixed", [order]))
    assert measurement.repeats[0]["mb_per_s"] == pytest.approx(expected)
    assert ("written-behind" in measurement.flags) == (expected < 150)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EINVAL])
def test_an_error_of_a_job_is_raised_here_and_the_engine_goes_on(
    engine: Engine, number: int
) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        engine.run(f"{TASKS}:failing", [{"errno": number}, {"errno": number}])
    assert caught.value.errno == number
    assert engine.run(f"{TASKS}:fixed", [{"bytes": 1, "seconds": 1.0}], whole=True).answers


@pytest.mark.parametrize("kind", ["LeaseTimeout", "LeaseLost", "MemoryError"])
def test_what_is_no_error_of_the_system_is_a_problem_that_is_told(
    engine: Engine, kind: str
) -> None:
    with pytest.raises(BenchProblem, match=r"a job failed: .*oh") as caught:
        engine.run(f"{TASKS}:troubled", [{"kind": kind}] * 2)
    assert ("trace" in caught.value.facts) == (kind == "MemoryError")
    assert engine.run(f"{TASKS}:fixed", [{"bytes": 1, "seconds": 1.0}], whole=True).answers


def test_a_volume_that_is_full_for_leases_is_full(engine: Engine) -> None:
    with pytest.raises(OSError, match="No space") as caught:
        engine.run(f"{TASKS}:troubled", [{"kind": "VolumeFull"}])
    assert caught.value.errno == errno.ENOSPC


def test_what_a_process_did_before_is_not_counted_as_its_load() -> None:
    page = Page()
    slot = page.slot(0)
    while time.process_time() < 0.1:
        pass
    slot.ready()
    slot.count_more(1, 0, time.process_time_ns())
    assert page.counts(0).cpu_ns < 50_000_000
    page.close()


def test_a_job_that_dies_is_told(engine: Engine) -> None:
    with pytest.raises(BenchProblem, match="ended by itself, with status 7"):
        engine.run(f"{TASKS}:dying", [{}])


def test_a_late_answer_is_not_taken_for_that_of_the_next_run(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalls = tmp_path / "goes on"
    with monkeypatch.context() as hasty:
        hasty.setattr("volumelease.bench.engine.PATIENCE_SECONDS", 0.5)
        with pytest.raises(BenchProblem, match="did not answer"):
            engine.run(f"{TASKS}:late", [{"until": str(stalls)}], seconds=0.1)
    stalls.touch()
    run = engine.run(f"{TASKS}:fixed", [{"bytes": 600_000_000, "seconds": 3.0}], whole=True)
    assert run.answers[0]["bytes"] == 600_000_000
    assert run.bytes_per_s == pytest.approx(200e6)


def test_after_a_job_that_died_the_engine_goes_on(engine: Engine) -> None:
    for _ in range(2):
        with pytest.raises(BenchProblem, match="status 7") as caught:
            engine.run(f"{TASKS}:dying", [{}, {}])
        assert caught.value.facts["job"] == "died"
        assert engine.run(f"{TASKS}:fixed", [{"bytes": 1, "seconds": 1.0}] * 2, whole=True).answers


def test_no_job_outlives_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    before = set(children_of(os.getpid()))
    with Engine() as engine:
        engine.run(f"{TASKS}:fixed", [{"bytes": 1, "seconds": 1.0}] * 3, whole=True)
        jobs = set(children_of(os.getpid())) - before
    assert len(jobs) == 3
    assert not [pid for pid in jobs if runs(pid)]


def test_a_job_that_hangs_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("volumelease.bench.engine.PATIENCE_SECONDS", 0.5)
    before = set(children_of(os.getpid()))
    with pytest.raises(BenchProblem, match="did not answer"), Engine() as engine:
        engine.run(f"{TASKS}:endless", [{}], seconds=0.1)
    eventually(lambda: not set(children_of(os.getpid())) - before)
