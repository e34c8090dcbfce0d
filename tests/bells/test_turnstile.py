"""Taking turns across processes, on a local file."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from volumelease.bells.lockfile import TURNSTILE_BYTE, LockFile
from volumelease.bells.turnstile import Turnstile

from .neighbour import Neighbour
from .test_bytelocks import BOOT, LONG, until


@pytest.fixture
def file(tmp_path: Path) -> LockFile:
    mine = LockFile(str(tmp_path / "locks"), BOOT)
    mine.open()
    return mine


def free(turnstile: Turnstile) -> bool:
    return until(lambda: turnstile._state == "idle")


def test_it_is_had_at_once_when_nobody_is_in_it(file: LockFile) -> None:
    turnstile = Turnstile(file)
    assert turnstile.enter(0)
    turnstile.leave()
    assert free(turnstile)
    assert turnstile.enter(0)


def test_who_waits_comes_through_when_the_other_leaves(tmp_path: Path, file: LockFile) -> None:
    turnstile = Turnstile(file)
    with Neighbour(tmp_path / "locks", BOOT) as other:
        assert other(f"file.take({TURNSTILE_BYTE})") == "True"
        other.tell(f"__import__('time').sleep(0.05) or file.drop({TURNSTILE_BYTE})")
        assert turnstile.enter(LONG)
        other.said()
        assert other(f"file.take({TURNSTILE_BYTE})") == "False"
        turnstile.leave()
        assert until(lambda: other(f"file.take({TURNSTILE_BYTE})") == "True")


def test_who_waited_in_vain_is_let_in_only_when_it_is_free_again(
    tmp_path: Path, file: LockFile
) -> None:
    turnstile = Turnstile(file)
    with Neighbour(tmp_path / "locks", BOOT) as other:
        other(f"file.take({TURNSTILE_BYTE})")
        started = time.monotonic()
        assert not turnstile.enter(0.05)
        assert time.monotonic() - started < LONG / 2
        calls = file.calls
        assert not turnstile.enter(0)
        assert file.calls == calls, "as long as it is stuck, nobody is asked"
        other(f"file.drop({TURNSTILE_BYTE})")
        assert free(turnstile)
        assert other(f"file.take({TURNSTILE_BYTE})") == "True", "who gave up must not keep it"
        other(f"file.drop({TURNSTILE_BYTE})")
        assert turnstile.enter(0)


def test_without_a_lock_file_nobody_takes_turns(tmp_path: Path) -> None:
    assert not Turnstile(LockFile(str(tmp_path / "locks"), BOOT)).enter(LONG)


def test_to_leave_without_having_it_does_no_harm(tmp_path: Path, file: LockFile) -> None:
    """Whoever is interrupted on the way in does not know whether it is in."""
    turnstile = Turnstile(file)
    turnstile.leave()
    with Neighbour(tmp_path / "locks", BOOT) as other:
        other(f"file.take({TURNSTILE_BYTE})")
        assert not turnstile.enter(0.01)
        turnstile.leave()
        other(f"file.drop({TURNSTILE_BYTE})")
        assert free(turnstile)
    assert turnstile.enter(0)
    turnstile.leave()
    turnstile.leave()
    assert free(turnstile)
    assert turnstile.enter(0)
