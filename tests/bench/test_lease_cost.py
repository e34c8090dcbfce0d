"""What leases cost on a mount: the figures, and that nothing is left or touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.contexts import context_on
from tests.bench.harness import bench, one, rate
from tests.bench.mounts import Limits, ThrottledMount, missing_fuse
from volumelease.bells.locality import Locks
from volumelease.bench.engine import Engine
from volumelease.bench.lease_cost import WAYS, cost, hand_offs, shares, told
from volumelease.bench.problems import BenchProblem
from volumelease.errors import VolumeFull

needs_fuse = pytest.mark.skipif(missing_fuse() is not None, reason=str(missing_fuse()))


def test_the_share_of_a_lease_falls_with_the_size_of_the_work() -> None:
    found = shares([0.001, 0.001, 0.001], [100.0, 100.0, 100.0])
    parts = [one["share"] for one in found["shares"]]
    assert parts == sorted(parts, reverse=True)
    assert parts[0] == pytest.approx(0.001 / (0.001 + (16 << 20) / 100e6))
    # 99 times a lease of 1 ms at 100 MB/s are 9.9 MB, in whole MiB
    assert found["under_one_percent_from_bytes"] == 10 << 20


def test_the_size_under_one_percent_holds_at_the_worse_end_of_both_intervals() -> None:
    sure = shares([0.001] * 3, [100.0] * 3)
    unsure = shares([0.001, 0.001, 0.004], [100.0, 100.0, 300.0])
    assert unsure["under_one_percent_from_bytes"] > sure["under_one_percent_from_bytes"]
    for one_size in unsure["shares"]:
        assert one_size["at_most"] > one_size["share"]


def test_a_hand_off_counts_only_where_somebody_waited() -> None:
    first = [(0.0, 0.0, 1.0), (1.5, 2.1, 3.0)]
    waited = [(0.5, 1.25, 2.0)]
    late = [(1.25, 1.5, 2.0)]
    assert hand_offs([first, waited]) == pytest.approx([0.25, 0.1])
    assert hand_offs([first[:1], late]) == []
    assert hand_offs([[(0.0, 0.0, 1.0), (0.5, 1.1, 2.0)]]) == [], "it handed over to itself"


def test_what_locks_do_is_said_in_one_sentence() -> None:
    assert "LOCAL ONLY" in told(Locks(True, True, 1e-6, 2e-4), shared=True)
    assert "exclude other processes;" in told(Locks(True, False, 2e-4, 2e-4), shared=True)
    assert "of this host" in told(Locks(True, False, 1e-6, 1e-5), shared=False)
    assert "exclude nobody" in told(Locks(False, False, 1e-6, 1e-5), shared=True)
    assert "don't work here: no locks" in told(Locks(trouble="no locks"), shared=True)


def test_leases_are_measured_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("untouched")
    document = bench(
        tmp_path, "lease-cost", "locks", pace="quick", jobs=2, repeats=1, local=True,
        total_seconds=20.0,
    )  # fmt: skip
    for jobs in (1, 2):
        for way in WAYS:
            assert rate(one(document, "lease-cost", variant=way, jobs=jobs)) > 0
    leases = one(document, "lease-cost", variant="acquire and release")["lease"]
    assert leases["acquire_us"]["count"] == leases["release_us"]["count"] > 0
    assert 0 < leases["acquire_us"]["p50"] <= leases["acquire_us"]["max"]
    assert leases["cost_seconds"] > 0
    assert leases["under_one_percent_from_bytes"] > 0
    hand_off = one(document, "lease-cost", variant="hand-off")["lease"]["hand_off_us"]
    assert hand_off["count"] > 0
    assert not one(document, "locks")["lease"]["local_only"], "a local file system has no others"
    assert os.listdir(tmp_path) == ["mine"]


def test_a_job_that_does_not_answer_says_nothing_about_leases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object, **__: object) -> None:
        raise BenchProblem("a job did not answer", job="silent")

    monkeypatch.setattr(Engine, "run", silent)
    with context_on(tmp_path) as context, pytest.raises(BenchProblem, match="did not answer"):
        list(cost(context))


def test_a_volume_that_is_full_is_not_one_that_carries_no_leases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(root: str) -> None:
        raise VolumeFull("no entry could be written", root=root)

    monkeypatch.setattr("volumelease.bench.lease_jobs.found", full)
    with context_on(tmp_path) as context, pytest.raises(BenchProblem, match="is full"):
        list(cost(context))


@needs_fuse
def test_a_mount_that_can_carry_no_leases_is_told_and_not_tried() -> None:
    with ThrottledMount(Limits(kind="sshfs")) as mount:
        document = bench(mount.path, "lease-cost", pace="quick", jobs=2, repeats=1)
        left = os.listdir(mount.path)
    (result,) = document["results"]
    assert result.get("failed", "").startswith("no leases here: it shows another host's changes")
    assert left == []
