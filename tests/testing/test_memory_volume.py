"""What ``volumelease.testing`` promises to people who test their own handlers with it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from volumelease import (
    Lease,
    LeaseDeadlock,
    LeaseLost,
    LeaseTimeout,
    PathInvalid,
    VolumeNotFound,
    volume_lease,
)
from volumelease.leases.process import exchange
from volumelease.settings import Settings
from volumelease.testing import LeaseSeen, ManualClock, MemoryVolume


@volume_lease("/runpod-volume/models", timeout=0)
def handler(job: int) -> int:
    """What a user would have written."""
    return job * 2


@volume_lease("/runpod-volume/models", timeout=30, reason="a job")
async def slow_handler(job: int) -> int:
    return job * 2


def test_a_handler_runs_without_any_volume() -> None:
    with MemoryVolume("/runpod-volume") as volume:
        assert handler(2) == 4
        assert asyncio.run(slow_handler(3)) == 6
        assert volume.leases == ()


def test_a_handler_meets_a_worker_that_holds_its_path() -> None:
    with MemoryVolume() as volume:
        with (
            volume.held_elsewhere("/runpod-volume/models/llama", reason="sync") as seen,
            pytest.raises(LeaseTimeout, match="sync"),
        ):
            handler(2)
        assert seen.paths == ("/runpod-volume/models/llama",)
        assert handler(2) == 4


def test_what_is_held_and_what_waits_can_be_looked_at() -> None:
    with MemoryVolume("/v") as volume:
        with volume_lease("/v/a", reason="why") as lease:
            assert volume.leases == (LeaseSeen(("/v/a",), "exclusive", lease.token, True, "why"),)
        with volume_lease("/v", shared=True):
            assert volume.leases[0].paths == ("/v",)
            with pytest.raises(AssertionError, match="not free"), volume.held_elsewhere("/v/a"):
                pass
            with volume.held_elsewhere("/v/a", shared=True) as other:
                assert other in volume.leases
        assert not volume.leases


def test_a_manual_clock_ends_a_wait_of_a_task_without_waiting() -> None:
    clock = ManualClock()

    async def main() -> None:
        with MemoryVolume(clock=clock) as volume, volume.held_elsewhere("/runpod-volume"):
            waiting = asyncio.create_task(slow_handler(1))
            while not volume.waiting:
                await asyncio.sleep(0)
            clock.advance(29.9)
            assert volume.waiting[0].reason == "a job"
            while not volume.notices:  # once, who is in the way
                await asyncio.sleep(0)
            clock.advance(0.2)
            with pytest.raises(LeaseTimeout) as caught:
                await waiting
            assert caught.value.facts["waited"] == pytest.approx(30.1)
            assert volume.waiting == ()
            assert len(volume.notices) == 1

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 10


def test_a_manual_clock_ends_a_wait_of_a_thread_without_waiting() -> None:
    clock = ManualClock()
    ended: list[type[BaseException] | None] = []

    def work() -> None:
        try:
            with volume_lease("/runpod-volume/x", timeout=3600):
                ended.append(None)
        except LeaseTimeout as error:
            ended.append(type(error))

    with MemoryVolume(clock=clock) as volume, volume.held_elsewhere("/runpod-volume"):
        thread = threading.Thread(target=work)
        thread.start()
        while not volume.waiting:
            time.sleep(0)
        clock.advance(3601)
        thread.join()
    assert ended == [LeaseTimeout]


def test_a_loss_is_told_like_a_real_one() -> None:
    told: list[Lease] = []

    def work() -> None:
        with volume_lease("/runpod-volume") as lease:
            assert lease.remaining > 0
            lease.on_lost(told.append)
            volume.lose("cut off")
            assert told == [lease]
            with volume.held_elsewhere("/runpod-volume"):
                lease.check()

    with MemoryVolume() as volume:
        with pytest.raises(LeaseLost, match="cut off"):
            work()
        assert handler(1) == 2  # in a new session


def test_a_loss_cancels_a_task() -> None:
    async def work() -> None:
        async with volume_lease("/runpod-volume"):
            volume.lose()
            await asyncio.sleep(3600)

    with MemoryVolume() as volume:
        with pytest.raises(LeaseLost):
            asyncio.run(work())
        assert volume.leases == ()


def test_paths_and_settings_are_as_on_a_real_volume() -> None:
    settings = Settings(scope="volume")
    with MemoryVolume("/v", settings=settings) as volume, volume_lease("/v/a//b/../c"):
        assert volume.leases[0].paths == ("/v",)
    with MemoryVolume("/v"):
        with pytest.raises(VolumeNotFound), volume_lease("/vv"):
            pass
        with pytest.raises(PathInvalid), volume_lease(""):
            pass
        with volume_lease("/v/a/../b", shared=True) as lease:
            assert lease.paths == ("/v/b",)
            with pytest.raises(LeaseDeadlock, match="upgrade"), volume_lease("/v/b"):
                pass


def test_the_process_has_its_own_volumes_back_afterwards() -> None:
    mine = MemoryVolume("/mine").volumes
    before = exchange(mine)
    try:
        with MemoryVolume("/v"), volume_lease("/v/a"):
            pass
        with volume_lease("/mine/a") as lease:
            assert lease.paths == ("/mine/a",)
    finally:
        exchange(before)


def test_time_does_not_go_backwards() -> None:
    with pytest.raises(ValueError, match="forwards"):
        ManualClock().advance(-1)


def test_it_needs_nothing_but_the_library() -> None:
    source = Path(__file__).parents[2] / "src"
    code = (
        f"import sys; sys.path.insert(0, {str(source)!r})\n"
        "from volumelease import volume_lease\n"
        "from volumelease.testing import MemoryVolume\n"
        "with MemoryVolume('/v'):\n"
        "    with volume_lease('/v/a') as lease: print(lease)\n"
        "assert 'asyncio' not in sys.modules, 'a sync test needs no asyncio'\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "held" in done.stdout
