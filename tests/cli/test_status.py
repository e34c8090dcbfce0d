"""``volumelease status``: who holds what, since when, and who waits."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.bed.redis import RedisServer
from volumelease.authorities.volume.layout import FIRST_SEGMENT

from .conftest import picture_of
from .shell import NOTHING, Running, Terminal, error_of, eventually, run


def document(
    *arguments: str | Path, cwd: Path | None = None, env: Mapping[str, str] = NOTHING
) -> dict[str, Any]:
    result = run("status", "--json", *arguments, cwd=cwd, env=env)
    assert (result.returncode, result.stderr) == (0, "")
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_json_has_the_promised_form(volume: Path) -> None:
    who = {"RUNPOD_POD_ID": "ab12", "RUNPOD_ENDPOINT_ID": "sd-xl"}
    held = ("--shared", volume / "a", volume / "b", "--reason", "a download")
    with Running("hold", *held, "--", "sleep", "60", env=who) as holder:
        eventually(lambda: picture_of(volume).holders())
        with Running("hold", volume / "a/x", "--", "true"):
            eventually(lambda: picture_of(volume).waiters())
            eventually(lambda: document(volume)["bell"] != "poll")
            found = document(volume)
            (session,) = {s for s, f in picture_of(volume).table.sessions.items() if f.facts.worker}
        warden = holder.child("lease-warden")
    assert found["schema"] == 1
    identity = picture_of(volume).identity
    assert found["volume"]["id"] == identity.id
    assert found["volume"]["root"] == str(volume)
    assert set(found["volume"]) == {"id", "root", "fstype", "source"}
    assert (found["authority"], found["bell"]) == ("volume", "fcntl")
    assert (found["enforcement"], found["violations_24h"]) == ("python", 0)
    (lease,) = found["leases"]
    assert 0 <= lease.pop("held_seconds") < 20
    assert isinstance(lease.pop("token"), str)
    assert lease == {
        "paths": [f"{volume}/a", f"{volume}/b"],
        "mode": "shared",
        "session": session,
        "endpoint": "sd-xl",
        "worker": "ab12",
        "pid": warden,
        "host": os.uname().nodename,
        "ttl_seconds": 2.0,
        "reason": "a download",
        "breaking": False,
    }
    (waiting,) = found["waiting"]
    assert 0 <= waiting.pop("waited_seconds") < 20
    more = {"endpoint", "worker", "pid", "host", "reason"}
    assert set(waiting) == {"paths", "mode", "session", "position"} | more
    assert (waiting["paths"], waiting["mode"]) == ([f"{volume}/a/x"], "exclusive")
    assert waiting["position"] == 1


def test_it_names_the_bell_that_answers(volume: Path, redis_server: RedisServer) -> None:
    assert document(volume)["bell"] == "poll", "nobody is there"
    configured = {"VOLUMELEASE_REDIS_URL": redis_server.url}
    assert document(volume, env=configured)["bell"] == "redis"
    redis_server.kill()
    assert document(volume, env=configured)["bell"] == "poll"


def test_a_clock_of_another_host_that_is_ahead_gives_no_negative_age(volume: Path) -> None:
    from volumelease.cli.status import age

    assert age(time.time() + 3600) == 0


def test_looking_takes_no_part_in_the_log(volume: Path) -> None:
    before = picture_of(volume).next_index
    files = sorted(path for path in volume.rglob("*"))
    run("status", volume)
    assert picture_of(volume).next_index == before
    assert sorted(path for path in volume.rglob("*")) == files


def test_a_pipe_gets_one_plain_line_for_each_lease(volume: Path) -> None:
    empty = run("status", volume).stdout
    assert "nobody holds a lease" in empty
    assert "limit: " in empty.splitlines()[-1]
    who = {"RUNPOD_POD_ID": "ab12", "RUNPOD_ENDPOINT_ID": "sd-xl"}
    with Running("hold", volume / "a", "--reason", "x\ty\nz", "--", "sleep", "60", env=who):
        eventually(lambda: picture_of(volume).holders())
        with Running("hold", volume, "--", "true"):
            eventually(lambda: picture_of(volume).waiters())
            lines = run("status", volume).stdout.splitlines()
    assert len(lines) == 4
    assert "2 sessions" in lines[0]
    assert lines[1].startswith("held exclusive a for ")
    assert "by worker ab12 of endpoint sd-xl (pid " in lines[1]
    assert lines[1].endswith("(x\\ty z)")
    assert lines[2].startswith("waits exclusive (the whole volume) for ")
    assert "position 1" in lines[2]


def test_a_path_shows_what_concerns_it(volume: Path) -> None:
    with Running("hold", volume / "a/b", "--", "sleep", "60"):
        eventually(lambda: picture_of(volume).holders())
        for concerned in (volume, volume / "a", volume / "a/b", volume / "a/b/c"):
            assert len(document(concerned)["leases"]) == 1
        for other in (volume / "a/bc", volume / "x"):
            assert document(other)["leases"] == []


def test_the_volume_is_found_by_itself(volume: Path) -> None:
    folder = volume / "deep/down"
    folder.mkdir(parents=True)
    assert document(cwd=folder)["volume"]["root"] == str(volume)
    assert document(env={"VOLUMELEASE_VOLUME": str(volume)})["volume"]["root"] == str(volume)


def test_what_is_no_volume_is_an_error(tmp_path: Path) -> None:
    result = run("status", tmp_path)
    assert result.returncode == 1
    error_of(result)
    (tmp_path / ".volumelease").mkdir()
    result = run("status", tmp_path)
    assert result.returncode == 1
    assert "volumelease init" in error_of(result)[1]
    assert run("status", "--json", tmp_path).stdout == ""


def test_json_and_watch_exclude_each_other(volume: Path) -> None:
    result = run("status", "--json", "--watch", volume)
    assert result.returncode == 2
    error_of(result)


def test_garbage_and_grace_are_said(volume: Path) -> None:
    identity = picture_of(volume).identity
    (volume / ".volumelease" / identity.id / "log" / FIRST_SEGMENT / "0").symlink_to("no record")
    assert "garbage" in run("status", volume).stdout
    other = volume.parent / "other"
    (other / ".volumelease").mkdir(parents=True)
    run("init", other)
    assert "the log is new" in run("status", other).stdout


def test_watching_in_a_pipe_repeats_until_ctrl_c(volume: Path) -> None:
    with Running("status", "--watch", volume) as watching:
        time.sleep(1.6)
        watching.signal(signal.SIGINT)
        code, out, err = watching.finish()
    assert (code, err) == (0, "")
    assert out.count("nobody holds a lease") >= 2


@pytest.mark.parametrize("option", [[], ["--watch"]], ids=["once", "watch"])
def test_a_terminal_gets_a_table(volume: Path, option: list[str]) -> None:
    with Running("hold", volume / "[red]a", "--", "sleep", "60"):
        eventually(lambda: picture_of(volume).holders())
        with Terminal("status", *option, volume) as terminal:
            terminal.wait_for("limit")
            if option:
                terminal.press("\x03")
            assert terminal.finish() == 0
    assert b"[red]a" in terminal.said, "names are no markup"
    assert b"reason" in terminal.said
    assert b"\x1b[" in terminal.said
