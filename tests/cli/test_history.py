"""``volumelease history``: who held what, since when, until when, and how it ended."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from volumelease.core import records
from volumelease.leases.asking import volume_lease
from volumelease.model import Claim

from .conftest import picture_of
from .logs import a_process, lease_often
from .shell import Running, Terminal, eventually, run, runs


def leases(path: Path) -> list[dict[str, Any]]:
    result = run("history", "--json", path)
    assert (result.returncode, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert document["schema"] == 1
    assert document["first_entry"] == 0
    found: list[dict[str, Any]] = document["leases"]
    return found


def test_it_tells_the_life_of_each_lease_that_concerns_the_path(volume: Path) -> None:
    who = {"RUNPOD_POD_ID": "ab12", "RUNPOD_ENDPOINT_ID": "sd-xl"}
    with Running("hold", volume / "a/b", "--reason", "nightly", "--", "sleep", "60", env=who):
        eventually(lambda: picture_of(volume).holders())
        with Running("hold", volume / "a", "--", "true"):
            eventually(lambda: picture_of(volume).waiters())
            held, waiting = leases(volume / "a/b/c")
    assert leases(volume / "ab") == []
    assert (held["state"], held["worker"], held["reason"]) == ("held", "ab12", "nightly")
    assert (held["paths"], held["mode"]) == ([f"{volume}/a/b"], "exclusive")
    assert (held["ended_at"], held["held_seconds"]) == (None, None)
    assert isinstance(held["token"], str)
    assert (waiting["state"], waiting["granted_at"]) == ("waiting", None)


def test_each_end_is_told_with_its_evidence(volume: Path) -> None:
    run("hold", volume / "a", "--", "true")
    with Running("hold", volume / "a", "--", "sleep", "60") as hold:
        eventually(lambda: picture_of(volume).holders())
        warden = hold.child("lease-warden")
        os.kill(hold.child("lease-keeper"), signal.SIGKILL)
        hold.process.kill()
        eventually(lambda: not runs(warden))
    lease_often(volume, 1)
    with a_process() as volumes, volume_lease(volume / "a", volumes=volumes):
        pass
    closed, killed, released = leases(volume / "a")
    assert closed["state"] == "closed"
    assert (killed["state"], killed["evidence"]) == ("expired", "its process is gone")
    assert released["state"] == "released"
    assert killed["waited_seconds"] == 0
    assert killed["held_seconds"] > 0
    assert abs(killed["ended_at"] - killed["granted_at"] - killed["held_seconds"]) < 0.001
    lines = run("history", volume / "a").stdout.splitlines()
    assert "since 20" in lines[0]
    assert "entries 0 to " in lines[0]
    assert len([line for line in lines if line.startswith("held exclusive a from ")]) == 3
    assert lines[-1].startswith("limit: ")


def test_a_broken_lease_tells_who_broke_it_and_why(volume: Path) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60"):
        (holder,) = eventually(lambda: picture_of(volume).holders())
        run("break", volume / "a", "--token", str(holder.token), "--reason", "stuck\x1b[2J")
    (story,) = leases(volume)
    assert story["break_reason"] == "stuck\x1b[2J"
    assert "pid " in story["broken_by"]
    said = run("history", volume).stdout
    assert "broken by pid " in said
    assert "\x1b" not in said


def test_publishes_are_told_with_what_became_of_them(volume: Path) -> None:
    with a_process() as volumes, volume_lease(volume / "a", volumes=volumes) as lease:
        hosted: Any = lease._hosted

        def commit(body: records.Body) -> int:
            index: int = hosted.run(hosted.session.committer.commit(lambda: body)).at
            return index

        done = commit(records.Publish(lease.token, "stage/1", Claim("a/x", "a/x")))
        commit(records.Published(done))
        failed = commit(records.Publish(lease.token, "stage/2", Claim("a/y", "a/y")))
        commit(records.Published(failed, "a directory is in the way"))
        commit(records.Publish(lease.token, "stage/3", Claim("b", "b")))
    (story,) = leases(volume / "a")
    assert [(p["path"], p["state"]) for p in story["publishes"]] == [
        (f"{volume}/a/x", "applied"),
        (f"{volume}/a/y", "failed"),
        (f"{volume}/b", "refused"),
    ]
    assert "published a/y at 20" in run("history", volume / "a").stdout


def test_a_path_that_nobody_leased_says_so(volume: Path) -> None:
    lease_often(volume, 1)
    said = run("history", volume / "elsewhere")
    assert said.returncode == 0
    assert "nobody leased elsewhere in that time" in said.stdout


def test_a_terminal_gets_a_table(volume: Path) -> None:
    lease_often(volume, 2, reason="[red]night")
    with Terminal("history", volume) as terminal:
        assert terminal.finish() == 0
    assert b"[red]night" in terminal.said, "names are no markup"
    assert b"when (UTC)" in terminal.said
    assert b"\x1b[" in terminal.said


def test_a_log_that_breaks_its_rules_is_told_as_far_as_it_goes(volume: Path) -> None:
    lease_often(volume, 2)
    from .logs import entry

    entry(volume, 0).with_name(str(picture_of(volume).next_index)).symlink_to("garbage")
    said = run("history", volume)
    assert said.returncode == 0
    assert "volumelease verify" in said.stdout
