"""How a run is sampled, on a clock that the test moves: a busy machine changes nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from volumelease.bench import engine
from volumelease.bench.engine import Engine
from volumelease.bench.measuring import LEAST_SECONDS
from volumelease.bench.page import Page
from volumelease.bench.problems import BenchProblem
from volumelease.bench.statistics import LEAST_SAMPLES

LATE_SECONDS = 0.02
"""How much later than asked for each wait ends."""


class Job:
    """One that never ends by itself, and does a fixed number of bytes a second."""

    answered = False

    def __init__(self, page: Page, credit: float) -> None:
        self._slot = page.slot(0)
        self._credit = credit

    def work_until(self, seconds: float) -> None:
        self._slot.count(round(300e6 * seconds + self._credit), round(seconds * 1e9))


class Silent:
    """One that never answers."""

    answered = False

    def work_until(self, seconds: float) -> None: ...


class Clock:
    """Passes only while somebody waits for jobs."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, jobs: Sequence[Any], seconds: float) -> None:
        self.now += seconds + LATE_SECONDS
        for job in jobs:
            job.work_until(self.now - 1000.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(engine, "time", clock)
    monkeypatch.setattr(engine, "wait_for_any", clock.wait)
    return clock


def sampled(seconds: float, credit: float = 0.0) -> engine._Sampler:
    with Engine() as made:
        jobs: list[Any] = [Job(made._page, credit)]
        sampler = engine._Sampler(made._page, 1)
        made._sample(jobs, sampler, seconds, until_steady=True, watch=None)
        return sampler


@pytest.mark.parametrize("credit", [0.0, 20e6])
def test_a_speed_that_does_not_change_is_steady_in_the_least_time_of_a_repeat(
    clock: Clock, credit: float
) -> None:
    """Credit that is gone within the first sample included."""
    sampler = sampled(LEAST_SECONDS, credit)
    assert sampler.steady
    assert clock.now - 1000 <= LEAST_SECONDS + LATE_SECONDS


def test_in_a_sample_less_nothing_is(clock: Clock) -> None:
    assert not sampled(LEAST_SAMPLES * engine.SAMPLE_SECONDS).steady


@pytest.mark.parametrize(("left", "patience"), [(1e9, 120.0), (30.0, 30.0), (-9.0, 5.0)])
def test_a_silent_job_is_waited_for_within_the_time_of_the_run(
    clock: Clock, left: float, patience: float
) -> None:
    silent: list[Any] = [Silent()]
    with Engine(clock.now + left) as made:
        began = clock.now
        with pytest.raises(BenchProblem, match=f"within {patience:.0f} s"):
            made._collect(silent)
        assert patience <= clock.now - began < patience + 1
        began = clock.now = 1000.0
        made._page.reset(0)
        with pytest.raises(BenchProblem, match=f"within {patience:.0f} s"):
            made._until_ready(silent)
        assert patience <= clock.now - began < patience + 1
