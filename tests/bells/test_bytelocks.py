"""The fcntl bell between real processes, on a local file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from volumelease.bells.bytelocks import ByteBell
from volumelease.bells.ears import Ear
from volumelease.bells.lockfile import BELL_SEATS, LockFile, byte_of, lock_file

from .neighbour import Neighbour

HOLDER = "aaaaaaaaaaaaaaaa"
WAITER = "bbbbbbbbbbbbbbbb"
BOOT = "0f3bb5a1-6f7f-4bb4-8d28-2a3f0b1f8f00"
LONG = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks"


@pytest.fixture
def file(path: Path) -> LockFile:
    mine = LockFile(str(path), BOOT)
    mine.open()
    return mine


@pytest.fixture
def other(path: Path) -> Iterator[Neighbour]:
    with Neighbour(path, BOOT) as process:
        process(f"file.take({byte_of(HOLDER)})")
        yield process


def until(condition: Callable[[], bool], seconds: float = LONG) -> bool:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.002)
    return True


def listening(file: LockFile, session: str = HOLDER) -> tuple[ByteBell, Ear]:
    ear = Ear()
    bell = ByteBell(file, WAITER, ear)
    bell.arm((session,))
    assert until(lambda: bell.armed((session,)))
    return bell, ear


def test_a_session_that_lets_go_of_its_byte_wakes_who_waits_behind_it(
    file: LockFile, other: Neighbour
) -> None:
    _, ear = listening(file)
    assert not ear.wait(0.05)
    other(f"file.drop({byte_of(HOLDER)})")
    assert ear.wait(LONG)


def test_one_ring_wakes_all_and_the_byte_is_taken_again(path: Path, file: LockFile) -> None:
    with Neighbour(path, BOOT) as holder, Neighbour(path, BOOT) as third:
        holder(f"bell({HOLDER!r}).start()")
        assert until(lambda: not file.is_free(byte_of(HOLDER)))
        third(f"bell({WAITER!r}).arm(({HOLDER!r},))")
        assert until(lambda: third(f"bell({WAITER!r}).armed(({HOLDER!r},))") == "True")
        _, ear = listening(file)
        holder(f"bell({HOLDER!r}).ring()")
        assert ear.wait(LONG)
        assert third(f"ear.wait({LONG})") == "True"
        assert until(lambda: not file.is_free(byte_of(HOLDER)))


def test_a_process_that_is_killed_rings(file: LockFile, other: Neighbour) -> None:
    _, ear = listening(file)
    other.kill()
    assert ear.wait(LONG)


def test_a_byte_that_nobody_holds_is_no_bell_and_is_left_alone(
    file: LockFile, other: Neighbour
) -> None:
    ear = Ear()
    bell = ByteBell(file, WAITER, ear)
    bell.arm(("cccccccccccccccc",))
    assert until(lambda: not bell._threads)
    calls = file.calls
    for _ in range(20):
        bell.arm(("cccccccccccccccc",))
        assert not bell.armed(("cccccccccccccccc",))
    assert until(lambda: not bell._threads)
    assert file.calls == calls
    assert not ear.wait(0)


def test_few_of_a_host_block_at_once_for_a_mount_has_ten_threads(
    path: Path, file: LockFile, other: Neighbour
) -> None:
    holders = [f"{number}" * 16 for number in range(BELL_SEATS + 2)]
    for session in holders:
        other(f"file.take({byte_of(session)})")
    ears = [listening(file, session)[1] for session in holders[:BELL_SEATS]]
    with Neighbour(path, BOOT) as third:
        late = holders[-1]
        third(f"bell({WAITER!r}).arm(({late!r},))")
        assert until(lambda: third(f"len(bell({WAITER!r})._threads)") == "0")
        assert third(f"bell({WAITER!r}).armed(({late!r},))") == "False"
    assert not any(ear.wait(0) for ear in ears)


def test_a_host_that_cannot_be_told_from_others_does_not_block(
    path: Path, other: Neighbour
) -> None:
    nowhere = LockFile(str(path), "")
    nowhere.open()
    bell = ByteBell(nowhere, WAITER, Ear())
    bell.arm((HOLDER,))
    assert until(lambda: not bell._threads)
    assert not bell.armed((HOLDER,))


def test_two_sessions_that_wait_for_each_other_poll_instead_of_hanging(
    path: Path, file: LockFile, other: Neighbour
) -> None:
    """The kernel refuses the second of them with EDEADLK, because to it that is a deadlock."""
    assert file.take(byte_of(WAITER))
    file.own.add(byte_of(WAITER))
    listening(file)
    other(f"bell({HOLDER!r}).arm(({WAITER!r},))")
    assert until(lambda: other(f"len(bell({HOLDER!r})._threads)") == "0")
    assert other(f"bell({HOLDER!r}).armed(({WAITER!r},))") == "False"


def test_a_process_opens_the_file_once_and_a_forked_child_anew(path: Path) -> None:
    mine = lock_file("fork-test", str(path), BOOT)
    assert lock_file("fork-test", "elsewhere", BOOT) is mine
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"new" if lock_file("fork-test", str(path), BOOT) is not mine else b"old")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 3) == b"new"
    os.close(reading)
    os.close(writing)


def test_a_lock_file_that_cannot_be_made_costs_nothing_but_the_bell(tmp_path: Path) -> None:
    file = LockFile(str(tmp_path / "gone" / "locks"), BOOT)
    ear = Ear()
    bell = ByteBell(file, WAITER, ear)
    bell.start()
    bell.ring()
    bell.arm((HOLDER,))
    assert not bell.armed((HOLDER,))
    bell.close()
