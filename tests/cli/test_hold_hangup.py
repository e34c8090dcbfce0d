"""``volumelease hold`` on a terminal that hangs up: its command hears of it as without ``hold``."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .shell import Terminal, command_line, environment, eventually

COMMAND = """
import os, signal, sys, time
def hear(number, frame):
    with open(sys.argv[1] + "/heard", "a") as file:
        file.write(signal.Signals(number).name + "\\n")
    signal.setitimer(signal.ITIMER_REAL, 0.4)
def end(number, frame):
    open(sys.argv[1] + "/ended", "w").close()
    os._exit(5)
signal.signal(signal.SIGHUP, hear)
signal.signal(signal.SIGCONT, hear)
signal.signal(signal.SIGALRM, end)
open(sys.argv[1] + "/ready", "w").close()
until = time.monotonic() + 20
while time.monotonic() < until:
    time.sleep(0.02)
"""


@pytest.mark.parametrize("held", [False, True], ids=["without-hold", "with-hold"])
@pytest.mark.parametrize("place", ["leads-the-session", "job-of-a-shell"])
def test_a_command_hears_once_that_its_terminal_hung_up(
    volume: Path, tmp_path: Path, place: str, held: bool
) -> None:
    words = [sys.executable, "-I", "-S", "-c", COMMAND, str(tmp_path)]
    if held:
        words = command_line("hold", volume / "a", "--", *words)
    if place == "job-of-a-shell":  # which ends by the hang-up: then its whole group is told
        words = ["sh", "-c", f"{shlex.join(words)}; true"]
    with Terminal(words=words) as terminal:
        eventually((tmp_path / "ready").exists)
        terminal.hang_up()
        eventually((tmp_path / "ended").exists)
    assert sorted((tmp_path / "heard").read_text().split()) == ["SIGCONT", "SIGHUP"]


def test_a_hang_up_ends_the_command_and_hold(volume: Path) -> None:
    """``hold`` has something to say to nobody, too: that the shell left a process."""
    with Terminal("hold", volume / "a", "--", "sh", "-c", "echo ready; sleep 60") as terminal:
        terminal.wait_for("ready")
        terminal.hang_up()
        assert terminal.finish() == 129


def test_a_hang_up_ends_a_command_line_that_runs_apart(volume: Path) -> None:
    with Terminal("status", volume, "--watch") as terminal:
        terminal.wait_for("volume")
        terminal.hang_up()
        assert terminal.finish() == 129


def test_an_error_that_nobody_can_be_told_keeps_its_exit_code(volume: Path) -> None:
    words = command_line("hold", volume / "a", "--", "no-such-command-anywhere")
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, env=environment(), stderr=full, timeout=30, check=False)
    assert done.returncode == 127
