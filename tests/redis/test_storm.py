"""Eight workers whose leases are witnessed, while a Redis restarts, forgets, hangs, lags and is
cut off."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.bed.redis import eventually

from .contenders import Overlap, Witness
from .ground import FAULTS, Ground, SentinelGround
from .storm import WORKERS, Fault, Grant, Hit, Loss, Report, blow, make_volume

TTL: Final = 4.0


pytestmark = pytest.mark.usefixtures("needs_redis")


@pytest.fixture
def ground() -> Iterator[Ground]:
    with Ground(WORKERS, TTL) as ground:
        yield ground


def assert_withstood(report: Report) -> None:
    print(report)
    assert not report.overlaps
    assert not report.smaller_tokens()
    assert not report.losses_of_the_healthy()
    assert not report.standstills()
    assert not report.errors


# ---- the storm itself finds what is wrong


@pytest.mark.parametrize("fault", [Ground.flush, Ground.kill_and_restart_empty])
def test_a_lock_that_forgets_is_caught(ground: Ground, tmp_path: Path, fault: Fault) -> None:
    (tmp_path / "volume").mkdir()
    ground.ttl = 1.0  # it has none: this is for how long it is held, and the calm at the end
    report = blow(ground, tmp_path, [fault], taker="naive", every=0.5, rounds=8)
    print(report)
    assert report.overlaps
    assert report.smaller_tokens()


def test_a_witness_sees_who_is_inside(tmp_path: Path) -> None:
    one, other = Witness(str(tmp_path), 1), Witness(str(tmp_path), 2)
    for mine, theirs in ((True, True), (True, False), (False, True)):
        one.enter(mine)
        with pytest.raises(Overlap):
            other.enter(theirs)
        one.leave(mine)
        other.enter(theirs)
        other.leave(theirs)
    one.enter(False)
    other.enter(False)


def test_a_report_finds_what_must_not_be() -> None:
    def grant(worker: int, entered: float, token: int, path: str = "a") -> Grant:
        return Grant(worker, entered, entered, entered + 0.1, path, True, token)

    hit = Hit("cut_some", 10.0, 16.0, frozenset({1}))
    grants = [grant(0, 1.0, 7), grant(1, 2.0, 6, "a/b"), grant(2, 3.0, 5, "ab")]
    losses = [Loss(1, 12.0, ""), Loss(0, 12.0, ""), Loss(1, 40.0, "")]
    report = Report(TTL, grants, [], losses, Counter(), [hit])
    assert report.smaller_tokens() == [(grants[0], grants[1])]
    assert report.losses_of_the_healthy() == losses[1:]
    assert report.standstills() == list(range(WORKERS))
    late = [grant(number, 16.0 + number, 8 + number) for number in range(WORKERS)]
    assert Report(TTL, late, [], [], Counter(), [hit]).standstills() == []


def test_every_fault_leaves_a_master_that_a_door_leads_to(ground: Ground) -> None:
    ground.ttl = 0.5
    for fault in FAULTS:
        began = time.monotonic()
        ground.master.client().set("before", "1")
        cut = fault(ground)
        assert eventually(lambda: ground.master.client().set("after", "1"), 5)
        assert bool(cut) == (fault is Ground.cut_some)
        forgets = fault in (Ground.flush, Ground.kill_and_restart_empty)
        assert (ground.master.client().get("before") is None) == forgets, fault.__name__
        print(f"{fault.__name__}: {time.monotonic() - began:.1f} s")
        ground.master.wait_for_replicas(1)


# ---- leases withstand it


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_a_volume_that_only_rings_a_redis_withstands_everything(
    ground: Ground, tmp_path: Path
) -> None:
    make_volume(tmp_path, TTL, "volume", ground.urls[0])
    assert_withstood(blow(ground, tmp_path, FAULTS, every=1.0))


@pytest.mark.torture
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_authority_withstands_one_fault_again_and_again(
    ground: Ground, tmp_path: Path, fault: Fault
) -> None:
    make_volume(tmp_path, TTL, "redis", ground.urls[0])
    assert_withstood(blow(ground, tmp_path, [fault], every=2 * TTL, rounds=3))


@pytest.mark.torture
@pytest.mark.timeout(400)
def test_the_authority_withstands_two_minutes_of_everything(ground: Ground, tmp_path: Path) -> None:
    make_volume(tmp_path, TTL, "redis", ground.urls[0])
    assert_withstood(blow(ground, tmp_path, FAULTS, every=2 * TTL, rounds=2))


@pytest.mark.torture
@pytest.mark.timeout(300)
def test_the_authority_withstands_sentinels_that_fail_over_to_a_lagging_replica(
    tmp_path: Path,
) -> None:
    """With the usual ttl: a failover takes some seconds on a busy machine, and a holder can wait
    for seven."""
    with SentinelGround(WORKERS, ttl=15.0) as ground:
        make_volume(tmp_path, ground.ttl, "redis", ground.urls[0])
        fault = SentinelGround.fail_over_to_a_lagging_replica
        report = blow(ground, tmp_path, [fault], every=8.0, rounds=2)
        assert ground.longest_outage < 7.0, "this machine is too busy for a verdict"
        assert_withstood(report)
