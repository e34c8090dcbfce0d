"""``volumelease populate``: built once, by a command that ends before anybody else builds."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import make_volume, picture_of
from .shell import Running, Terminal, error_of, eventually, run, runs

MAKE = 'mkdir -p "$VOLUMELEASE_DRAFT" && echo whole > "$VOLUMELEASE_DRAFT/w"'


def drafts_in(volume: Path) -> list[str]:
    return [
        str(path.relative_to(volume))
        for path in volume.glob(".volumelease/*/stage/*")
        if not path.name.endswith(".owner")
    ]


def test_the_first_one_builds_and_the_second_does_nothing(volume: Path) -> None:
    words = ["sh", "-c", f'{MAKE}; echo "$1 $VOLUMELEASE_PATHS $VOLUMELEASE_TOKEN"', "sh", "{}"]
    first = run("populate", volume / "m", "--", *words)
    assert (first.returncode, first.stderr) == (0, "")
    draft, paths, token = first.stdout.split()
    assert draft.endswith("/m")
    assert (paths, int(token) >= 0) == (f"{volume}/m", True)
    assert (volume / "m" / "w").read_text() == "whole\n"
    assert (volume / "m").is_symlink()
    again = run("populate", volume / "m", "--", "sh", "-c", "echo built again", "sh", "{}")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert not picture_of(volume).table.sessions


def test_a_file_is_published_too_and_braces_are_replaced_wherever_they_stand(volume: Path) -> None:
    result = run("populate", volume / "a b" / "f", "--", "dd", "if=/dev/zero", "of={}", "count=1")
    assert result.returncode == 0, result.stderr
    assert (volume / "a b" / "f").stat().st_size == 512


def test_a_command_without_the_draft_is_a_usage_error(volume: Path) -> None:
    result = run("populate", volume / "m", "--", "true")
    assert result.returncode == 2
    assert "no {} in the command" in error_of(result)[0]


@pytest.mark.parametrize("resume", [[], ["--resume"]], ids=["plain", "resume"])
def test_a_failed_command_leaves_nothing_and_gives_its_exit_code(
    volume: Path, resume: list[str]
) -> None:
    result = run("populate", volume / "m", *resume, "--", "sh", "-c", f"{MAKE}; exit 9", "sh", "{}")
    assert (result.returncode, result.stderr) == (9, "")
    assert not os.path.lexists(volume / "m")
    assert drafts_in(volume) == []
    assert not picture_of(volume).table.sessions


def test_a_command_that_writes_nothing_is_a_problem(volume: Path) -> None:
    result = run("populate", volume / "m", "--", "true", "{}")
    assert result.returncode == 1
    assert "nothing was written to the draft" in error_of(result)[0]
    assert drafts_in(volume) == []


def test_a_directory_that_nobody_published_is_refused_before_anything_runs(volume: Path) -> None:
    (volume / "m").mkdir()
    (volume / "m" / "half").touch()
    result = run("populate", volume / "m", "--", "touch", f"{volume}/ran", "{}")
    assert result.returncode == 1
    assert "volumelease adopt" in error_of(result)[1]
    assert not (volume / "ran").exists()


def test_a_missing_command_gives_127(volume: Path) -> None:
    assert run("populate", volume / "m", "--", "no-such-command", "{}").returncode == 127


# ---- together


@contextmanager
def building(volume: Path, folder: Path, *options: str) -> Iterator[tuple[Running, Path]]:
    """A builder that has written half of it and goes on until the file it yields exists."""
    half, go_on = folder / "half", folder / "go-on"
    script = (
        f'mkdir -p "$VOLUMELEASE_DRAFT"; head -c 3000000 /dev/zero > "$VOLUMELEASE_DRAFT/part"; '
        f"echo $$ > {half}; while [ ! -e {go_on} ]; do sleep 0.02; done; {MAKE}"
    )
    words = ["sh", "-c", script, "sh", "{}"]
    with Running("populate", volume / "m", *options, "--", *words) as builder:
        eventually(lambda: half.exists() and half.read_text())
        yield builder, go_on


def test_everybody_else_waits_for_the_one_builder(tmp_path: Path) -> None:
    volume = make_volume(tmp_path / "volume", ttl=15.0)
    words = ["sh", "-c", f"echo x >> {tmp_path}/built; sleep 0.5; {MAKE}", "sh", "{}"]
    started = [Running("populate", volume / "m", "--", *words) for _ in range(6)]
    assert [one.finish(60)[0] for one in started] == [0] * 6
    assert (tmp_path / "built").read_text() == "x\n"


def test_whoever_waits_is_told_who_builds_since_when_and_how_much(
    tmp_path: Path,
) -> None:
    volume = make_volume(tmp_path / "volume", ttl=15.0)
    with building(volume, tmp_path) as (builder, go_on):
        with Running("populate", volume / "m", "--", "true", "{}") as waiter:
            time.sleep(6)
            go_on.touch()
            code, out, said = waiter.finish()
        assert (code, out) == (0, "")
        assert builder.finish()[0] == 0
    assert "3.0 MB in 1 files so far" in said
    assert "builds it since" in said
    assert "\x1b" not in said


def test_a_terminal_shows_the_wait_on_one_line_that_goes_away(tmp_path: Path) -> None:
    volume = make_volume(tmp_path / "volume", ttl=15.0)
    with building(volume, tmp_path) as (builder, go_on):
        with Terminal("populate", volume / "m", "--", "true", "{}") as waiter:
            waiter.wait_for("3.0 MB in 1 files so far")
            go_on.touch()
            assert waiter.finish() == 0
        assert builder.finish()[0] == 0
    assert b"\r\x1b[Kwaiting for" in waiter.said
    assert waiter.said.endswith(b"\r\x1b[K")


def test_a_timeout_ends_with_75(tmp_path: Path, volume: Path) -> None:
    with building(volume, tmp_path):
        result = run("populate", volume / "m", "--timeout", "0.3", "--", "true", "{}")
        assert result.returncode == 75
        assert "populate" in error_of(result)[0]


# ---- accidents


def heir(volume: Path, *options: str) -> Running:
    """The next builder; prints what it found in its draft."""
    script = f'ls "$VOLUMELEASE_DRAFT" 2>/dev/null; {MAKE}'
    return Running("populate", volume / "m", *options, "--", "sh", "-c", script, "sh", "{}")


@pytest.mark.parametrize("victim", ["populate", "lease-keeper", "lease-warden", "command", "all"])
def test_when_a_process_is_killed_the_next_builder_takes_its_place(
    tmp_path: Path, volume: Path, victim: str
) -> None:
    with building(volume, tmp_path) as (builder, _):
        command = int((tmp_path / "half").read_text())
        keeper, warden = builder.child("lease-keeper"), builder.child("lease-warden")
        pids = {
            "populate": [builder.pid],
            "lease-keeper": [keeper],
            "lease-warden": [warden],
            "command": [command],
            "all": [builder.pid, keeper, warden],
        }[victim]
        with heir(volume) as next_one:
            eventually(lambda: picture_of(volume).waiters())
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            code, out, _ = next_one.finish()
            assert (code, out) == (0, "")
        assert not runs(command)
    assert (volume / "m" / "w").read_text() == "whole\n"
    assert not (volume / "m" / "part").exists()


def test_a_builder_stopped_past_the_ttl_publishes_nothing(tmp_path: Path, volume: Path) -> None:
    with building(volume, tmp_path) as (builder, _):
        command = int((tmp_path / "half").read_text())
        with heir(volume) as next_one:
            eventually(lambda: picture_of(volume).waiters())
            for pid in (builder.pid, builder.child("lease-keeper")):
                os.kill(pid, signal.SIGSTOP)
            assert next_one.finish()[0] == 0
        assert not runs(command), "the warden ended it before the next one began"
        for pid in (builder.child("lease-keeper"), builder.pid):
            os.kill(pid, signal.SIGCONT)
        code, _, said = builder.finish()
    assert code == 76
    assert "was lost" in said
    assert not (volume / "m" / "part").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "told to end"])
def test_resume_gives_the_next_builder_what_the_last_one_had(
    tmp_path: Path, volume: Path, how: signal.Signals
) -> None:
    with building(volume, tmp_path, "--resume") as (builder, _):
        builder.signal(how)
        assert builder.finish()[0] == {signal.SIGKILL: -9, signal.SIGTERM: 143}[how]
    with heir(volume, "--resume") as next_one:
        code, out, said = next_one.finish()
    assert (code, out) == (0, "part\n")
    assert "left off" in said
    assert (volume / "m" / "part").stat().st_size == 3_000_000


def test_signals_reach_the_command(tmp_path: Path, volume: Path) -> None:
    script = f'trap "exit 5" TERM; {MAKE}; touch {tmp_path}/up; while :; do sleep 0.02; done'
    with Running("populate", volume / "m", "--", "sh", "-c", script, "sh", "{}") as builder:
        eventually((tmp_path / "up").exists)
        builder.signal(signal.SIGTERM)
        assert builder.finish()[0] == 5
    assert not os.path.lexists(volume / "m")


def test_what_the_command_left_running_is_ended_before_it_is_published(
    tmp_path: Path, volume: Path
) -> None:
    writes = f"echo $$ > {tmp_path}/pid; while :; do echo x >> $VOLUMELEASE_DRAFT/w; done"
    script = f"{MAKE}; setsid sh -c {shlex.quote(writes)} & sleep 0.3; test -s {tmp_path}/pid"
    result = run("populate", volume / "m", "--", "sh", "-c", script, "sh", "{}")
    assert result.returncode == 0
    assert "left" in result.stderr
    assert not runs(int((tmp_path / "pid").read_text()))
    before = (volume / "m" / "w").stat().st_size
    time.sleep(0.2)
    assert (volume / "m" / "w").stat().st_size == before
