"""``volumelease doctor --peer``, as far as one machine without a shared mount can show it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from volumelease.cli.checks import Check
from volumelease.cli.peer_checks import Seen, _together, examine_together
from volumelease.cli.peers import Meeting, Party, Silence, Talk, this_party
from volumelease.paths.mounts import mount_of
from volumelease.paths.proof import PEERS, verdict_path

from .shell import Running


def party(name: str, **facts: Any) -> Party:
    usual = {"host": name, "boot_id": name, "pid_namespace": 1, "device": "0:1", "fstype": "nfs4"}
    return Party(id=name, **{**usual, **facts})


def side_by_side(*works: Callable[[], Any]) -> list[Any]:
    """What each of them returned, or raised."""
    results: list[Any] = [None] * len(works)

    def do(number: int) -> None:
        try:
            results[number] = works[number]()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            results[number] = error

    threads = [threading.Thread(target=do, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def met(folder: Path, one: Party, work: Callable[[Talk], Any]) -> Callable[[], Any]:
    def meet() -> Any:
        with Meeting(str(folder), one, seconds=10) as (talk, other):
            return other.id, work(talk)

    return meet


def test_two_find_each_other_and_leave_nothing_behind(tmp_path: Path) -> None:
    leads = lambda talk: talk.leads  # noqa: E731
    found = side_by_side(met(tmp_path, party("b"), leads), met(tmp_path, party("a"), leads))
    assert found == [("a", False), ("b", True)]
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_left_who_was_killed_keeps_nobody_from_meeting(tmp_path: Path) -> None:
    folder = tmp_path / PEERS
    folder.mkdir()
    for name in ("hello-0", "hello-z", "pair-0-z"):
        os.symlink("{}", folder / name)
    long_ago = folder / "hello-1"
    os.symlink("{}", long_ago)
    os.utime(long_ago, (1, 1), follow_symlinks=False)
    found = side_by_side(
        met(tmp_path, party("b"), lambda talk: None), met(tmp_path, party("a"), lambda talk: None)
    )
    assert [other for other, _ in found] == ["a", "b"]
    assert not long_ago.is_symlink()


def test_alone_it_says_that_nobody_came(tmp_path: Path) -> None:
    with (
        pytest.raises(Silence, match="no other host came"),
        Meeting(str(tmp_path), party("a"), 0.2),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_all_checks_pass_on_a_local_directory(tmp_path: Path) -> None:
    checks: list[list[Check]] = [
        result[1]
        for result in side_by_side(
            met(tmp_path, party("a"), lambda talk: list(examine_together(talk))),
            met(tmp_path, party("b"), lambda talk: list(examine_together(talk))),
        )
    ]
    assert checks[0] == checks[1], "both come to one verdict"
    outcomes = {check.name: check.outcome for check in checks[0]}
    del outcomes["peer locks"]  # POSIX locks don't exclude threads of one process
    assert set(outcomes.values()) == {"ok"}
    assert len(outcomes) == 6


def test_the_worse_of_two_views_is_the_verdict_of_both(tmp_path: Path) -> None:
    def view(outcome: Any) -> Callable[[Talk], Check]:
        def check(talk: Talk) -> Seen:
            return outcome, f"seen by {outcome}", "advice"

        return lambda talk: _together(talk, check, "something")

    (_, one), (_, other) = side_by_side(
        met(tmp_path, party("a"), view("ok")), met(tmp_path, party("b"), view("fail"))
    )
    assert one == other == Check("peer something", "fail", "seen by fail", "advice")


def test_who_can_not_go_on_tells_the_other(tmp_path: Path) -> None:
    def fails(talk: Talk) -> Seen:
        raise OSError(5, "the disk is gone")

    def waits(talk: Talk) -> Seen:
        talk.hear("never")
        raise AssertionError

    (_, one), (_, other) = side_by_side(
        met(tmp_path, party("a"), lambda talk: _together(talk, fails, "x")),
        met(tmp_path, party("b"), lambda talk: _together(talk, waits, "x")),
    )
    assert one == other
    assert one.outcome == "fail"
    assert "the disk is gone" in one.detail


@pytest.mark.parametrize("lie", ["two winners", "vanished", "changed"])
def test_a_log_that_breaks_its_promise_is_named(lie: str) -> None:
    from volumelease.cli.peer_checks import _judge_entries

    final = {0: "leader-0-0", 1: "follower-0-1"}
    won, lost, others = {0: "leader-0-0"}, {2: "follower-0-1"}, 1
    assert _judge_entries(final, won, lost, same=True, others=others)[0] == "ok"
    if lie == "two winners":
        won[1] = "leader-0-1"
    elif lie == "vanished":
        final[0] = ""
    else:
        lost[2] = "follower-1-1"
    assert _judge_entries(final, won, lost, same=True, others=others)[0] == "fail"
    assert _judge_entries(final, won, lost, same=False, others=others)[0] == "fail"


def test_two_on_one_mount_of_one_machine_prove_nothing(tmp_path: Path) -> None:
    words = ("doctor", "--peer", "--json", tmp_path)
    with Running(*words) as one, Running(*words) as other:
        ends = [each.finish(60) for each in (one, other)]
    for code, said, noted in ends:
        found = json.loads(said)
        assert (code, found["schema"], found["peer"]["verdict"]) == (1, 1, "none")
        assert "same mount of this machine" in found["checks"][-1]["detail"]
        assert "within a minute" in noted
    assert list(tmp_path.iterdir()) == []


def test_one_whose_peer_is_killed_says_so_and_stores_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volumelease.cli.peers.HEAR_SECONDS", 1.0)
    mine = this_party(mount_of(str(tmp_path)))
    with Running("doctor", "--peer", tmp_path) as other:

        def leave(talk: Talk) -> None:
            os.killpg(other.pid, signal.SIGKILL)
            other.process.wait(10)
            talk.hear("anything", 1.0)

        (result,) = side_by_side(met(tmp_path, mine, leave))
    assert isinstance(result, Silence)
    assert not Path(verdict_path(str(tmp_path))).exists()
