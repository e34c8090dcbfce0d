"""``volumelease hold`` whose command it may not signal, as with ``sudo`` of a normal user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from .conftest import picture_of
from .shell import Running, eventually, runs

POWERLESS = ["setpriv", "--bounding-set", "-kill", "--inh-caps", "-kill"]
"""Root that may not signal other users' processes."""

ELSE = ["setpriv", "--reuid", "65534"]


@contextmanager
def held_by_another_user(volume: Path, folder: Path) -> Iterator[tuple[Running, int]]:
    """A command of another user holds ``a``; yields its pid too."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv (util-linux)")
    if subprocess.run([*POWERLESS, *ELSE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("capabilities can't be dropped here")
    file = folder / "pid"
    script = f"echo $$ > {file}; exec {' '.join(ELSE)} sleep 60"
    with Running("hold", volume / "a", "--", "sh", "-c", script, prefix=POWERLESS) as hold:
        eventually(lambda: file.exists() and file.read_text().strip())
        pid = int(file.read_text())
        eventually(lambda: os.stat(f"/proc/{pid}").st_uid == 65534)
        try:
            yield hold, pid
        finally:
            if runs(pid):
                os.kill(pid, signal.SIGKILL)


def read_until(hold: Running, words: str) -> None:
    """What it says on stderr so far has to hold these words."""
    assert hold.process.stderr is not None
    descriptor, said = hold.process.stderr.fileno(), b""
    os.set_blocking(descriptor, False)

    def heard() -> bool:
        nonlocal said
        with suppress(BlockingIOError):
            said += os.read(descriptor, 65536)
        return words.encode() in said

    eventually(heard)
    os.set_blocking(descriptor, True)


def test_a_signal_that_the_command_can_not_be_sent_costs_no_lease(
    volume: Path, tmp_path: Path
) -> None:
    with held_by_another_user(volume, tmp_path) as (hold, pid):
        hold.signal(signal.SIGTERM)
        read_until(hold, "SIGTERM was not handed on: sleep ")
        time.sleep(1.0)
        assert runs(hold.child("lease-warden"))
        assert len(picture_of(volume).holders()) == 1
        os.kill(pid, signal.SIGKILL)
        assert hold.finish()[0] == 137


def test_the_deadline_is_watched_after_such_a_signal(volume: Path, tmp_path: Path) -> None:
    """And the warden says itself what it can't do: ``hold`` is stopped."""
    with held_by_another_user(volume, tmp_path) as (hold, pid):
        hold.signal(signal.SIGTERM)
        read_until(hold, "SIGTERM was not handed on: ")
        hold.signal(signal.SIGSTOP)
        read_until(hold, f"sleep (pid {pid}) runs as another user, and can't be ended from here")
        os.kill(pid, signal.SIGKILL)
        hold.signal(signal.SIGCONT)
        assert hold.finish()[0] == 76


def test_a_lost_lease_whose_command_can_not_be_ended_is_told(volume: Path, tmp_path: Path) -> None:
    with held_by_another_user(volume, tmp_path) as (hold, pid):
        (volume / ".volumelease/identity").unlink()
        read_until(hold, "the command does not end, so it is killed from here")
        read_until(hold, f"sleep (pid {pid}) runs as another user, and can't be ended from here")
        assert runs(hold.pid), "it ends when nothing of the command is left"
        os.kill(pid, signal.SIGKILL)
        assert hold.finish()[0] == 76


def test_a_command_that_moved_to_another_process_group_hears_signals(
    volume: Path, tmp_path: Path
) -> None:
    script = """
import os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda number, frame: os._exit(5))
os.setpgid(0, os.getsid(0))
open(sys.argv[1], "w").close()
time.sleep(20)
"""
    ready = tmp_path / "ready"
    command = [sys.executable, "-I", "-S", "-c", script, str(ready)]
    with Running("hold", volume / "a", "--", *command) as hold:
        eventually(ready.exists)
        hold.signal(signal.SIGUSR1)
        assert hold.finish()[0] == 5
