"""``volumelease hold`` when things go wrong: nothing of the command outlives the lease."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import make_volume, picture_of
from .shell import Running, eventually, runs

TREE = """
echo $$ >> {pids}
setsid sh -c '
    trap "" TERM HUP INT
    echo $$ >> {pids}
    (setsid sh -c "trap \\"\\" TERM; echo \\$\\$ >> {pids}; while :; do sleep 0.05; done" &)
    while :; do sleep 0.05; done' &
while :; do sleep 0.05; done
"""
"""A command with a child in a session of its own and a grandchild that forked twice; both ignore
every polite request to end."""


@contextmanager
def held_by_a_tree(volume: Path, folder: Path) -> Iterator[tuple[Running, list[int]]]:
    """A command that started more processes holds ``a``; yields their pids too."""
    pids = folder / "pids"
    pids.touch()
    with Running("hold", volume / "a", "--", "sh", "-c", TREE.format(pids=pids)) as hold:
        try:
            eventually(lambda: len(pids.read_text().split()) == 3)
            found = [int(word) for word in pids.read_text().split()]
            yield hold, found
        finally:
            for pid in [int(word) for word in pids.read_text().split()]:
                if runs(pid):
                    os.kill(pid, signal.SIGKILL)


@contextmanager
def heir_of(volume: Path, pids: list[int]) -> Iterator[Running]:
    """Waits for ``a``, and once it has it says which of ``pids`` are still there."""
    words = " ".join(map(str, pids))
    script = f"for pid in {words}; do if kill -0 $pid 2>/dev/null; then echo $pid; fi; done"
    with Running("hold", volume / "a", "--", "sh", "-c", script) as heir:
        eventually(lambda: picture_of(volume).waiters())
        yield heir


def test_the_tree_of_a_killed_hold_is_gone_before_the_lease_is_free(
    volume: Path, tmp_path: Path
) -> None:
    with held_by_a_tree(volume, tmp_path) as (hold, pids), heir_of(volume, pids) as heir:
        killed_at = time.monotonic()
        hold.signal(signal.SIGKILL)
        assert heir.finish() == (0, "", "")
        assert time.monotonic() - killed_at < 2.0, "the keeper gives it back"


def test_the_tree_is_gone_first_when_the_keeper_was_killed_too(
    volume: Path, tmp_path: Path
) -> None:
    """Nobody is left to give the lease back: it is free by proof of death, and that waits for
    the warden."""
    with held_by_a_tree(volume, tmp_path) as (hold, pids), heir_of(volume, pids) as heir:
        killed_at = time.monotonic()
        os.kill(hold.child("lease-keeper"), signal.SIGKILL)
        hold.signal(signal.SIGKILL)
        assert heir.finish() == (0, "", "")
        assert time.monotonic() - killed_at < 2.0, "proof of death spares the ttl"


def test_killing_the_whole_process_group_of_hold_does_not_set_its_tree_free(
    volume: Path, tmp_path: Path
) -> None:
    with held_by_a_tree(volume, tmp_path) as (hold, pids), heir_of(volume, pids) as heir:
        os.killpg(hold.pid, signal.SIGKILL)
        assert heir.finish() == (0, "", "")


def test_the_command_of_a_stopped_hold_is_dead_before_anybody_else_gets_in(
    volume: Path, tmp_path: Path
) -> None:
    with held_by_a_tree(volume, tmp_path) as (hold, pids), heir_of(volume, pids) as heir:
        hold.signal(signal.SIGSTOP)
        assert heir.finish() == (0, "", "")
        hold.signal(signal.SIGCONT)
        code, _, said = hold.finish()
    assert code == 76
    assert "was lost" in said


def test_a_hold_that_is_stopped_for_a_moment_goes_on(tmp_path: Path) -> None:
    volume = make_volume(tmp_path / "volume", ttl=4.0)
    with Running("hold", volume / "a", "--", "sh", "-c", "sleep 2; exit 3") as hold:
        eventually(lambda: picture_of(volume).holders())
        hold.signal(signal.SIGSTOP)
        time.sleep(0.4)
        hold.signal(signal.SIGCONT)
        assert hold.finish() == (3, "", "")


def test_a_command_that_ended_in_time_counts_though_hold_was_stopped(volume: Path) -> None:
    """What it did, it did under the lease."""
    with Running("hold", volume / "a", "--", "sh", "-c", "sleep 0.5; exit 3") as hold:
        eventually(lambda: picture_of(volume).holders())
        time.sleep(0.1)
        hold.signal(signal.SIGSTOP)
        time.sleep(2.5)
        hold.signal(signal.SIGCONT)
        assert hold.finish()[0] == 3


def test_a_killed_warden_costs_the_command_its_life(volume: Path, tmp_path: Path) -> None:
    with held_by_a_tree(volume, tmp_path) as (hold, pids), heir_of(volume, pids) as heir:
        os.kill(hold.child("lease-warden"), signal.SIGKILL)
        code, _, said = hold.finish()
        assert code == 76
        assert "watched over the command was killed" in said
        assert heir.finish() == (0, "", "")


def test_a_killed_keeper_costs_the_command_its_life(volume: Path, tmp_path: Path) -> None:
    with held_by_a_tree(volume, tmp_path) as (hold, pids), heir_of(volume, pids) as heir:
        os.kill(hold.child("lease-keeper"), signal.SIGKILL)
        code, _, said = hold.finish()
        assert code == 76
        assert "kept it was killed" in said
        assert heir.finish() == (0, "", "")


def test_a_stopped_keeper_costs_the_command_its_life(volume: Path, tmp_path: Path) -> None:
    """As a volume that hangs does: nobody else can tell for how long the lease holds."""
    with held_by_a_tree(volume, tmp_path) as (hold, pids), heir_of(volume, pids) as heir:
        os.kill(hold.child("lease-keeper"), signal.SIGSTOP)
        assert heir.finish() == (0, "", "")
        assert hold.finish()[0] == 76


def test_a_warden_killed_while_hold_waits_is_an_error(volume: Path) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60"):
        eventually(lambda: picture_of(volume).holders())
        with Running("hold", volume / "a", "--", "true") as waiting:
            eventually(lambda: picture_of(volume).waiters())
            os.kill(waiting.child("lease-warden"), signal.SIGKILL)
            assert waiting.finish()[0] == 1
        assert len(picture_of(volume).table.holdings) == 1


def test_a_lost_lease_ends_the_command_with_76(volume: Path, tmp_path: Path) -> None:
    with held_by_a_tree(volume, tmp_path) as (hold, pids):
        (volume / ".volumelease/identity").unlink()
        code, _, said = hold.finish()
        assert code == 76
        assert said.splitlines()[0].startswith("error: the lease on")
        assert said.splitlines()[1].startswith("try: ")
        assert len(said.splitlines()) == 2
        assert not any(map(runs, pids))


def test_a_command_that_heeds_sigterm_may_tidy_up(volume: Path, tmp_path: Path) -> None:
    script = f"trap 'touch {tmp_path}/tidied; exit' TERM; while :; do sleep 0.02; done"
    with Running("hold", volume / "a", "--", "sh", "-c", script) as hold:
        eventually(lambda: picture_of(volume).holders())
        (volume / ".volumelease/identity").unlink()
        assert hold.finish()[0] == 76
    assert (tmp_path / "tidied").exists()


def test_a_stopped_warden_does_not_save_the_command(volume: Path, tmp_path: Path) -> None:
    with held_by_a_tree(volume, tmp_path) as (hold, pids):
        os.kill(hold.child("lease-warden"), signal.SIGSTOP)
        (volume / ".volumelease/identity").unlink()
        assert hold.finish()[0] == 76
        assert not any(map(runs, pids))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda n: n.name)
def test_a_hold_that_ends_while_it_waits_leaves_nothing(
    volume: Path, number: signal.Signals
) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60") as holder:
        eventually(lambda: picture_of(volume).holders())
        with Running("hold", volume / "a", "--", "true") as waiting:
            eventually(lambda: picture_of(volume).waiters())
            warden = waiting.child("lease-warden")
            waiting.signal(number)
            waiting.process.wait(10)
            eventually(lambda: not runs(warden))
        holder.signal(signal.SIGTERM)
        assert holder.finish()[0] == 143
    with Running("hold", volume / "a", "--timeout", "5", "--", "true") as heir:
        assert heir.finish()[0] == 0
