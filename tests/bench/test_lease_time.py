"""What leases cost on a slow mount, in the time that there is: on a clock that the test moves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.bench.contexts import SMALL, context_on
from volumelease.bench import lease_cost
from volumelease.bench.document import Result
from volumelease.bench.engine import Engine
from volumelease.bench.lease_cost import WAYS, Trial, cost
from volumelease.bench.lease_repeats import handed_over
from volumelease.bench.scenario import Silent
from volumelease.bench.scratch import Scratch
from volumelease.errors import LeaseError


class SlowMount:
    """Each run takes as long as it was given and ``extra`` seconds more, for its sessions."""

    def __init__(self, extra: float, seconds: float) -> None:
        self.extra = extra
        self.now = 0.0
        self.until = seconds
        self.runs: list[tuple[str, int]] = []

    def monotonic(self) -> float:
        return self.now

    def seconds_left(self) -> float:
        return max(0.0, self.until - self.now)

    def run(self, task: str, orders: list[dict[str, Any]], *, seconds: float) -> Any:
        self.now += seconds + self.extra
        self.runs.append((task.rpartition(":")[2], len(orders)))
        times = {"counts": {"100": 1}, "slowest_ns": 1000}
        turns = [[number, number, number + 1.5] for number in range(2)]
        answer = {"bytes": 10**6, "seconds": 1.0, "turns": turns}
        answer |= dict.fromkeys(("acquire", "release", "both"), times)
        return SimpleNamespace(answers=[answer] * len(orders), seconds=seconds, cpu_share=0.0)


def all_of(mount: SlowMount, monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    monkeypatch.setattr(lease_cost, "time", mount)
    scratch = SimpleNamespace(beat=lambda: None, file=lambda name, size: name)
    context: Any = SimpleNamespace(
        options=SMALL, progress=Silent(), engine=mount, scratch=scratch, seed="5eed",
        seconds_left=mount.seconds_left,
        mount={"network": True, "fstype": "fuse", "mount_point": "/volume"},
    )  # fmt: skip
    trial = Trial(context, "/volume")
    return [*trial.writers(), trial.leases(), trial.hand_off()]


def test_with_time_for_all_of_it_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    mount = SlowMount(0.1, 60)
    assert not [result for result in all_of(mount, monkeypatch) if "short" in result["flags"]]
    assert mount.runs.count(("write_units", 1)) == len(WAYS) * SMALL.repeats


def test_each_has_its_repeats_as_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    *writers, leases, hand_off = all_of(SlowMount(0.1, 60), monkeypatch)
    for result in writers:
        rates = [repeat["mb_per_s"] for repeat in result["repeats"]]
        assert rates == [float(result["jobs"])] * SMALL.repeats
    assert len(leases["repeats"]) == SMALL.repeats
    assert len(hand_off["repeats"]) == 1
    for repeat in [*leases["repeats"], *hand_off["repeats"]]:
        assert repeat["mb_per_s"] is None
        assert "ops_per_s" in repeat
    took = leases["lease"]["cost_seconds"]
    assert leases["repeats"][0]["ops_per_s"] == pytest.approx(1 / took)


def test_hand_offs_of_one_run_are_cut_into_repeats() -> None:
    found = handed_over([0.1] * 10 + [0.2] * 10, 2)
    assert [repeat["ops_per_s"] for repeat in found] == pytest.approx([10.0, 5.0])
    assert [repeat["operations"] for repeat in handed_over([0.1] * 23, 3)] == [7, 8, 8]
    assert len(handed_over([0.1] * 4, 9)) == 1, "too few for more"


@pytest.mark.parametrize("extra", [3.0, 1.5])
def test_sessions_that_take_long_to_open_count_as_time(
    monkeypatch: pytest.MonkeyPatch, extra: float
) -> None:
    """One run, and acquiring, are not given up. What is left out says so."""
    mount = SlowMount(extra, 8)
    results = all_of(mount, monkeypatch)
    assert mount.now <= mount.until + 1.0
    assert mount.runs[-1][0] in ("take", "relay")
    left_out = [result for result in results if "short" in result["flags"]]
    assert "2 writers" in [result.get("variant") for result in left_out]
    assert {result.get("failed") for result in left_out} == {"no time was left for it"}
    assert sorted(result["variant"] for result in results) == sorted(
        [*WAYS, "2 writers", "acquire and release", "hand-off"]
    )


def test_writers_leave_time_for_the_hand_off(monkeypatch: pytest.MonkeyPatch) -> None:
    mount = SlowMount(0.5, 10)
    results = all_of(mount, monkeypatch)
    assert not [result for result in results if "short" in result["flags"]]
    assert mount.now <= mount.until + 0.5


def test_no_job_has_anything_open_when_the_volume_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libfuse gives files that are open another name, in directories that can't be removed then."""
    steps: list[str] = []

    def refused(root: str) -> None:
        raise LeaseError("refused")

    monkeypatch.setattr("volumelease.bench.lease_jobs.found", refused)
    with context_on(tmp_path) as context:
        monkeypatch.setattr(Engine, "dismiss", lambda self: steps.append("dismiss"))
        monkeypatch.setattr(Scratch, "drop", lambda self, name: steps.append("drop"))
        (result,) = cost(context)
        monkeypatch.undo()
    assert "no leases here" in result["failed"]
    assert steps == ["dismiss", "drop"]
