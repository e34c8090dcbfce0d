"""``volumelease demo``: it shows turns and a takeover, and would notice an overlap."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from volumelease.cli.competition import Outcome, Takeover, Turn

from .shell import Running, Terminal, children_of, error_of, eventually, run, runs


def test_it_shows_turns_and_a_takeover_and_leaves_nothing_behind(tmp_path: Path) -> None:
    started = time.monotonic()
    result = run("demo", env={"TMPDIR": str(tmp_path)})
    assert (result.returncode, result.stderr) == (0, "")
    assert time.monotonic() - started < 25
    assert "is killed (SIGKILL) while it holds the lease" in result.stdout
    assert "took over" in result.stdout
    assert "overlaps: 0 in " in result.stdout.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_it_spreads_over_the_mounts_and_leaves_them_clean(tmp_path: Path) -> None:
    other = tmp_path.parent / f"{tmp_path.name}-too"
    other.symlink_to(tmp_path)
    with Terminal("demo", tmp_path, other) as terminal:
        assert terminal.finish() == 0
    told = terminal.said.decode().rpartition("grants in")[2]
    assert told.count("was killed while it held the lease") == 2
    assert "overlaps: 0 in " in told
    assert list(tmp_path.iterdir()) == []


def test_mounts_of_two_volumes_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    result = run("demo", one, two)
    assert result.returncode == 1
    assert "not the same volume" in result.stderr
    assert list(one.iterdir()) == list(two.iterdir()) == []
    missing = run("demo", tmp_path / "missing")
    assert missing.returncode == 2
    error_of(missing)


def test_ctrl_c_ends_it_with_all_its_workers(tmp_path: Path) -> None:
    with Running("demo", tmp_path) as demo:
        workers = eventually(lambda: len(found := children_of(demo.pid)) == 6 and found)
        time.sleep(0.5)
        demo.signal(signal.SIGINT)
        assert demo.finish()[0] == 130
        assert not any(map(runs, workers))
    assert list(tmp_path.iterdir()) == []


def test_workers_end_with_a_killed_demo(tmp_path: Path) -> None:
    with Running("demo", tmp_path, env={"TMPDIR": str(tmp_path)}) as demo:
        workers = eventually(lambda: len(found := children_of(demo.pid)) == 6 and found)
        demo.signal(signal.SIGKILL)
        demo.process.wait(5)
        eventually(lambda: not any(map(runs, workers)))


@pytest.mark.parametrize(
    ("outcome", "overlaps"),
    [
        (Outcome(turns=[Turn("a", 1, 0.0, 1.0, "leaves"), Turn("b", 2, 1.1, 2.0, "leaves")]), 0),
        (Outcome(turns=[Turn("a", 1, 0.0, 1.0, "leaves"), Turn("b", 2, 0.9, 2.0, "leaves")]), 1),
        (Outcome(turns=[Turn("a", 1, 0.0), Turn("b", 2, 0.9)]), 1),
        (Outcome(turns=[Turn("a", 1, 0.0, 1.0, "leaves")], witnessed_overlaps=1), 1),
    ],
    ids=["turns", "by-the-clock", "never-left", "by-the-witness"],
)
def test_an_overlap_is_noticed(outcome: Outcome, overlaps: int) -> None:
    assert outcome.overlaps == overlaps
    assert outcome.fine is (overlaps == 0)


def test_tokens_that_do_not_grow_are_noticed() -> None:
    turns = [Turn("a", 2, 0.0, 1.0, "leaves"), Turn("b", 1, 2.0, 3.0, "leaves")]
    assert not Outcome(turns=turns, takeovers=[Takeover("a", "killed", 0.0, 1.0)]).fine
