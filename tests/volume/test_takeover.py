"""Whoever dies, is cut off or stops makes way in time; and finds out."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from tests.bed.moosefs import MooseFsBed

from .fleet import Worker, fleet, make_volume

pytestmark = pytest.mark.bed


def _waiting(worker: Worker, mount: Path, seconds: float = 10.0) -> None:
    """Until the request of ``worker`` is in the log."""
    worker.wait_for("started")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if _waiters(mount) > 0:
            return
        time.sleep(0.02)
    raise AssertionError("the waiter never asked")


def _waiters(mount: Path) -> int:
    from volumelease.authorities.volume import founding
    from volumelease.authorities.volume.layout import Layout
    from volumelease.authorities.volume.replica import Replica
    from volumelease.clock import SystemClock
    from volumelease.drivers.files import Files
    from volumelease.drivers.threads import Monitor

    class Nobody:
        def entry_applied(self, *facts: object) -> None: ...

        def table_loaded(self) -> None: ...

    monitor = Monitor(Files())
    identity = monitor.run(founding.read_identity(str(mount)))
    assert identity is not None
    replica = Replica(Layout.of(str(mount), identity), SystemClock(), Nobody())
    monitor.run(replica.catch_up())
    return sum(not holding.granted for holding in replica.table.holdings.values())


def test_a_killed_process_makes_way_within_100_ms_on_its_host(shared_mounts: list[Path]) -> None:
    make_volume(shared_mounts[0], ttl=15)
    delays = []
    with fleet() as workers:
        for _ in range(5):
            holder = workers.start("take", mount=shared_mounts[0], path="a")
            holder.wait_for("granted")
            heir = workers.start("take", mount=shared_mounts[0], path="a/b")
            _waiting(heir, shared_mounts[0])
            killed_at = time.clock_gettime(time.CLOCK_BOOTTIME)
            holder.signal(signal.SIGKILL)
            delays.append(heir.wait_for("granted")["at"] - killed_at)
            heir.signal(signal.SIGKILL)
            heir.process.wait(5)
    print(f"killed to next grant: {[f'{delay * 1000:.0f} ms' for delay in delays]}")
    assert sorted(delays)[len(delays) // 2] <= 0.1


@pytest.mark.parametrize("ttl", [3.0, pytest.param(15.0, marks=pytest.mark.torture)])
def test_a_cut_host_makes_way_within_ttl_plus_two_seconds_and_finds_its_lease_lost(
    bed: MooseFsBed, shared_mounts: list[Path], ttl: float
) -> None:
    make_volume(shared_mounts[0], ttl=ttl)
    host = bed.hosts[1]
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[1], path="a")
        holder.wait_for("granted")
        heir = workers.start("take", mount=shared_mounts[0], path="a")
        _waiting(heir, shared_mounts[0])
        time.sleep(ttl / 2)
        cut_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        host.cut()
        lost = holder.wait_for("lost", ttl + 5)
        granted = heir.wait_for("granted", ttl + 10)
        assert lost["at"] < granted["at"], "the successor started before the holder stopped"
        print(f"ttl {ttl}: cut to next grant {granted['at'] - cut_at:.2f} s")
        assert granted["at"] - cut_at <= ttl + 2
        host.heal()
        holder.tell_to_go_on()
        assert holder.wait_for("lost_at_end", 90)["lost_at_end"]
        assert heir.finish() == 0


def test_a_stopped_holder_finds_its_lease_lost_and_it_stays_lost(
    shared_mounts: list[Path],
) -> None:
    make_volume(shared_mounts[0], ttl=2)
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[0], path="a")
        holder.wait_for("granted")
        heir = workers.start("take", mount=shared_mounts[1], path="a")
        _waiting(heir, shared_mounts[0])
        holder.signal(signal.SIGSTOP)
        heir.wait_for("granted", 10)
        holder.signal(signal.SIGCONT)
        assert holder.wait_for("lost", 5)["remaining"] == 0.0
        time.sleep(3)  # beats that were under way come back
        holder.tell_to_go_on()
        assert holder.wait_for("lost_at_end")["lost_at_end"]
        assert heir.finish() == 0


def test_a_late_answer_does_not_revive_a_lost_lease(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    """Nobody waits, so nobody expires the session: only its own clock can tell."""
    make_volume(shared_mounts[0], ttl=2)
    host = bed.hosts[1]
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[1], path="a")
        holder.wait_for("granted")
        host.cut()
        holder.wait_for("lost", 10)
        host.heal()
        time.sleep(4)
        holder.tell_to_go_on()
        assert holder.wait_for("lost_at_end", 90)["lost_at_end"]


def test_lost_replies_of_a_whole_host_cost_its_lease_and_nothing_else(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    make_volume(shared_mounts[0], ttl=3)
    host = bed.hosts[1]
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[1], path="a")
        holder.wait_for("granted")
        heir = workers.start("take", mount=shared_mounts[0], path="a")
        _waiting(heir, shared_mounts[0])
        host.lose_replies()
        lost = holder.wait_for("lost", 10)
        granted = heir.wait_for("granted", 15)
        host.restore_replies()
        assert lost["at"] < granted["at"]
        holder.tell_to_go_on()
        assert holder.wait_for("lost_at_end", 90)["lost_at_end"]
        assert heir.finish() == 0


def test_dead_sessions_that_nobody_waits_for_leave_the_table(shared_mounts: list[Path]) -> None:
    make_volume(shared_mounts[0], ttl=2)
    with fleet() as workers:
        dead = [workers.start("take", mount=shared_mounts[0], path=f"d{n}") for n in range(6)]
        for worker in dead:
            worker.wait_for("granted")
        threads = [
            threading.Thread(target=worker.signal, args=(signal.SIGKILL,)) for worker in dead
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        living = workers.start("take", mount=shared_mounts[0], path="mine")
        living.wait_for("granted")
        until = time.monotonic() + 15
        while _sessions(shared_mounts[1]) > 1 and time.monotonic() < until:
            time.sleep(0.1)
        assert _sessions(shared_mounts[1]) == 1
        assert living.finish() == 0


def _sessions(mount: Path) -> int:
    (base,) = [path for path in (mount / ".volumelease").iterdir() if path.is_dir()]
    return len(list((base / "sessions").iterdir()))
