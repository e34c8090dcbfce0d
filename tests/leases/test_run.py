"""A program of ``lease.run`` and the lease that it runs under: neither outlives the other."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from volumelease import LeaseError, LeaseLost, LeaseTimeout
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Volumes

from .test_volume_lease import found, hosted, python

STUBBORN = "trap '' TERM; for i in $(seq 150); do echo x >> log; sleep 0.05; done"


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = found(tmp_path, ttl=3.0)
    yield made
    made.close()


def wait_until(true: Callable[[], Any]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def grows(log: Path) -> bool:
    before = log.stat().st_size
    time.sleep(0.4)
    return log.stat().st_size > before


def lose_once_written(volumes: Volumes, log: Path) -> threading.Thread:
    def lose() -> None:
        wait_until(log.exists)
        hosted(volumes).session.pulse.lose("a test")
        hosted(volumes)._news.set()

    thread = threading.Thread(target=lose)
    thread.start()
    return thread


def test_who_ignores_sigterm_is_killed_though_the_leader_of_its_group_has_ended(
    volumes: Volumes, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    log = tmp_path / "a" / "log"
    with volume_lease(tmp_path / "a", on_lost="ignore", volumes=volumes) as lease:
        loser = lose_once_written(volumes, log)
        with pytest.raises(LeaseLost, match="a test"):
            lease.run(["sh", "-c", f"({STUBBORN}) & wait"], cwd=tmp_path / "a")
        assert not grows(log)
    loser.join()


def test_who_takes_a_moment_to_end_has_it_though_the_leader_of_its_group_has_ended(
    volumes: Volumes, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    careful = (
        "trap 'sleep 0.1; echo saved > saved; exit' TERM; touch log; "
        "for i in $(seq 500); do sleep 0.01; done"
    )
    with volume_lease(tmp_path / "a", on_lost="ignore", volumes=volumes) as lease:
        loser = lose_once_written(volumes, tmp_path / "a" / "log")
        with pytest.raises(LeaseLost):
            lease.run(["sh", "-c", f"({careful}) & wait"], cwd=tmp_path / "a")
        assert (tmp_path / "a" / "saved").read_text() == "saved\n"
    loser.join()


def test_what_a_program_leaves_running_when_it_ends_by_itself_is_left_alone(
    volumes: Volumes, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    left = "for i in 1 2 3 4 5; do sleep 0.1; done; echo x > later"
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        assert lease.run(["sh", "-c", f"({left}) &"], cwd=tmp_path / "a").returncode == 0
        wait_until((tmp_path / "a" / "later").exists)


def test_a_block_that_ends_ends_its_program_and_nobody_else_is_let_in_before(
    volumes: Volumes, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    log = tmp_path / "a" / "log"
    said: list[str] = []
    writer = "trap 'sleep 0.5; exit' TERM; for i in $(seq 150); do echo x >> log; sleep 0.05; done"

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1), volume_lease(tmp_path / "a", volumes=volumes) as lease:
                running = asyncio.to_thread(lease.run, ["sh", "-c", writer], cwd=tmp_path / "a")
                task = asyncio.ensure_future(running)
                await asyncio.shield(task)
        with pytest.raises(LeaseTimeout):
            async with volume_lease(tmp_path / "a", timeout=0, volumes=volumes):
                pass
        async with volume_lease(tmp_path / "a", timeout=20, volumes=volumes):
            said.append(f"grows: {await asyncio.to_thread(grows, log)}")
        with pytest.raises(LeaseLost, match="was released"):
            await task

    asyncio.run(main())
    assert said == ["grows: False"]


def test_a_program_uses_its_lease_exclusively_until_it_has_ended(
    volumes: Volumes, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        runs, go_on = tmp_path / "a" / "runs", tmp_path / "go on"
        script = f"until [ -e '{go_on}' ]; do touch '{runs}'; sleep 0.05; done"
        thread = threading.Thread(target=lease.run, args=(["sh", "-c", script],))
        thread.start()
        wait_until(runs.exists)
        try:
            with pytest.raises(LeaseError, match="a program"):
                lease.downgrade()
        finally:
            go_on.touch()
            thread.join()
        lease.downgrade()
        assert lease.mode == "shared"


def test_a_forked_child_that_leaves_the_block_ends_no_program_of_its_parent(
    tmp_path: Path,
) -> None:
    found(tmp_path)
    done = python(
        """
        import os, sys, threading, time
        from volumelease import volume_lease
        def run(lease):
            ran.append(lease.run(["sh", "-c", "touch here; sleep 1"], cwd=path).returncode)
        path, ran = sys.argv[1] + "/a", []
        os.mkdir(path)
        with volume_lease(path) as lease:
            thread = threading.Thread(target=run, args=(lease,))
            thread.start()
            while not os.path.exists(path + "/here"):
                time.sleep(0.01)
            pid = os.fork()
            if pid == 0:
                lease.release()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            thread.join()
        print(ran)
        """,
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "[0]\n"), done.stderr
