"""``volumelease hold``: the command runs under the lease, and is none the wiser."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from pathlib import Path

import pytest

from .conftest import make_volume, picture_of
from .shell import Running, Terminal, error_of, eventually, run, state_of

FORWARDED = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]


def test_the_command_gets_token_and_paths_and_its_exit_code_comes_back(volume: Path) -> None:
    script = 'echo "$VOLUMELEASE_TOKEN $VOLUMELEASE_PATHS"; exit 7'
    result = run("hold", volume / "b", volume / "a", "--", "sh", "-c", script)
    token, paths = result.stdout.split()
    assert (result.returncode, result.stderr) == (7, "")
    assert paths.split(os.pathsep) == [f"{volume}/a", f"{volume}/b"]
    again = run("hold", volume / "a", "--", "sh", "-c", script)
    assert int(again.stdout.split()[0]) > int(token)


WRITES = """
import sys
from volumelease import LeaseViolation, volume_lease
root, *names = sys.argv[1:]
with volume_lease(f"{root}/other"):
    for name in names:
        try:
            open(f"{root}/{name}/f", "w").close()
        except LeaseViolation:
            print(name, "refused")
        else:
            print(name, "written")
"""


def test_a_colon_in_a_leased_name_is_part_of_it(volume: Path) -> None:
    names = ("m:latest", "m", "z")
    for name in (*names, "x:", "x:/a", "x"):
        (volume / name).mkdir()
    leased = [volume / "m:latest", volume / "x:/a", volume / "z"]
    command = [sys.executable, "-c", WRITES, str(volume), *names, "x:/a", "x"]
    result = run("hold", *leased, "--", *command)
    assert result.stdout.splitlines() == [
        "m:latest written",
        "m refused",
        "z written",
        "x:/a written",
        "x refused",
    ], result.stderr


def test_nothing_is_held_afterwards(volume: Path) -> None:
    assert run("hold", volume / "a", "--", "true").returncode == 0
    picture = picture_of(volume)
    assert not picture.table.holdings
    assert not picture.table.sessions


def test_stdin_and_stdout_are_those_of_the_command(volume: Path) -> None:
    result = run("hold", volume / "a", "--", "cat", stdin="through\n")
    assert (result.stdout, result.stderr) == ("through\n", "")


def test_options_after_the_dashes_belong_to_the_command(volume: Path) -> None:
    result = run("hold", volume / "a", "--", "echo", "--timeout", "--", "-h")
    assert result.stdout == "--timeout -- -h\n"


def test_a_command_ended_by_a_signal_gives_128_and_its_number(volume: Path) -> None:
    assert run("hold", volume / "a", "--", "sh", "-c", "kill -KILL $$").returncode == 137


@pytest.mark.parametrize("number", FORWARDED, ids=lambda number: number.name)
def test_signals_reach_the_command_once(
    volume: Path, tmp_path: Path, number: signal.Signals
) -> None:
    heard, ready = tmp_path / "heard", tmp_path / "ready"
    # A shell without a child: waiting for one, it would hear the signal only afterwards.
    script = f"""
import os, signal, sys, time
def hear(number, frame):
    open({str(heard)!r}, "a").write(signal.Signals(number).name + "\\n")
signal.signal({int(number)}, hear)
signal.signal(signal.SIGALRM, lambda number, frame: sys.exit(5))
open({str(ready)!r}, "w").close()
while True:
    time.sleep(0.02)
    if os.path.exists({str(heard)!r}):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        signal.pause()
        signal.pause()
"""
    command = [sys.executable, "-I", "-S", "-c", script]
    with Running("hold", volume / "a", "--", *command) as hold:
        eventually(ready.exists)
        hold.signal(number)
        assert hold.finish()[0] == 5
    assert heard.read_text() == f"{number.name}\n"


def test_an_ignored_signal_stays_ignored(volume: Path, tmp_path: Path) -> None:
    script = f"touch {tmp_path}/ready; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; exit 6"
    deaf = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    with Running("hold", volume / "a", "--", "sh", "-c", script, prefix=deaf) as hold:
        eventually((tmp_path / "ready").exists)
        hold.signal(signal.SIGHUP)
        time.sleep(0.1)
        (tmp_path / "go").touch()
        assert hold.finish() == (6, "", "")


def test_ctrl_c_on_a_terminal_reaches_the_command_once(volume: Path) -> None:
    script = """
import signal, sys, time
count = 0
def hear(number, frame):
    global count
    count += 1
signal.signal(signal.SIGINT, hear)
print("ready", flush=True)
end = time.monotonic() + 0.6
while time.monotonic() < end:
    time.sleep(0.02)
print("heard", count, open("/dev/tty").isatty(), flush=True)
sys.exit(4)
"""
    command = [sys.executable, "-I", "-S", "-c", script]
    with Terminal("hold", volume / "a", "--", *command) as terminal:
        terminal.wait_for("ready")
        terminal.press("\x03")
        assert terminal.finish() == 4
    assert b"heard 1 True" in terminal.said


def test_ctrl_z_stops_hold_and_command_and_both_go_on(tmp_path: Path) -> None:
    volume = make_volume(tmp_path / "volume", ttl=4.0)
    script = 'echo "ready $$"; sleep 0.3; sleep 0.3; exit 4'
    with Terminal("hold", volume / "a", "--", "sh", "-c", script) as terminal:
        terminal.wait_for("ready ")
        terminal.wait_for("\n")
        command = int(terminal.said.split()[1])
        terminal.press("\x1a")
        eventually(lambda: state_of(terminal.pid) == state_of(command) == "T")
        time.sleep(0.5)
        os.killpg(terminal.pid, signal.SIGCONT)
        assert terminal.finish() == 4


# ---- waiting


def test_a_timeout_ends_with_75_and_names_the_holder(volume: Path) -> None:
    with Running("hold", volume / "a", "--reason", "a download", "--", "sleep", "60"):
        eventually(lambda: picture_of(volume).holders())
        result = run("hold", volume / "a/b", "--timeout", "0.3", "--", "touch", volume / "ran")
        assert result.returncode == 75
        what, advice = error_of(result)
        assert "a is held exclusively by process" in what
        assert "a download" in what
        assert "--timeout" in advice
        assert run("hold", volume / "a", "--timeout", "0", "--", "true").returncode == 75
        assert not (volume / "ran").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_while_it_waits_ends_the_wait(volume: Path, number: signal.Signals) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60"):
        eventually(lambda: picture_of(volume).holders())
        with Running("hold", volume / "a", "--", "touch", volume / "ran") as waiting:
            eventually(lambda: picture_of(volume).waiters())
            waiting.signal(number)
            assert waiting.finish() == (128 + number, "", "")
        picture = picture_of(volume)
        assert len(picture.table.sessions) == len(picture.table.holdings) == 1
        assert not (volume / "ran").exists()


def test_shared_leases_are_held_together(volume: Path) -> None:
    with Running("hold", "--shared", volume / "a", "--", "sleep", "60"):
        eventually(lambda: picture_of(volume).holders())
        assert run("hold", "--shared", "--timeout", "5", volume / "a", "--", "true").returncode == 0
        assert run("hold", "--timeout", "0", volume / "a", "--", "true").returncode == 75


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["a"], "no command"),
        (["a", "--"], "no command"),
        (["--", "true"], "Missing argument"),
        (["a", "--timeout", "-1", "--", "true"], "-1 is no number of seconds"),
        (["a", "--timeout", "nan", "--", "true"], "nan is no number of seconds"),
        (["a", "--timeout", "soon", "--", "true"], "not a valid float"),
        (["a", "--no-such", "--", "true"], "No such option"),
    ],
    ids=["no-dashes", "nothing-after", "no-path", "negative", "nan", "word", "unknown"],
)
def test_wrong_usage_ends_with_2(volume: Path, arguments: list[str], what: str) -> None:
    result = run("hold", *arguments, cwd=volume)
    assert result.returncode == 2
    said, advice = error_of(result)
    assert what in said
    assert advice == "volumelease hold --help"


def test_a_command_that_is_not_there_ends_with_127_without_a_lease(volume: Path) -> None:
    result = run("hold", volume / "a", "--", "no-such-command-anywhere")
    assert result.returncode == 127
    assert "no such command" in error_of(result)[0]
    assert picture_of(volume).next_index == 0


def test_a_command_that_is_not_executable_ends_with_126(volume: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    assert run("hold", volume / "a", "--", plain).returncode == 126
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("no program\n")
    nonsense.chmod(0o755)
    result = run("hold", volume / "a", "--", nonsense)
    assert result.returncode == 126
    error_of(result)
    assert not picture_of(volume).table.holdings


def test_a_path_outside_every_volume_is_an_error(volume: Path, tmp_path: Path) -> None:
    result = run("hold", tmp_path / "elsewhere", "--", "touch", tmp_path / "ran")
    assert result.returncode == 1
    assert "no volume holds" in error_of(result)[0]
    assert run("hold", "", "--", "true").returncode == 1
    assert run("hold", volume / ".volumelease/x", "--", "true").returncode == 1
    assert not (tmp_path / "ran").exists()


# ---- what the command leaves behind


def test_what_the_command_leaves_running_is_ended_before_the_lease_goes(
    volume: Path, tmp_path: Path
) -> None:
    pids, ready = tmp_path / "pids", tmp_path / "ready"
    daemon = f'trap "" HUP; echo $$ >> {pids}; touch {ready}; while :; do sleep 0.05; done'
    script = f"setsid sh -c '{daemon}' & while [ ! -e {ready} ]; do sleep 0.01; done; exit 3"
    with Running("hold", volume / "a", "--", "sh", "-c", script) as hold:
        eventually(ready.exists)
        heir = run("hold", volume / "a", "--", "sh", "-c", f"! kill -0 $(cat {pids})")
        code, _, said = hold.finish()
    assert (code, heir.returncode) == (3, 0)
    assert "left" in said
    assert "they are ended" in said or "it is ended" in said


def test_what_ends_by_itself_a_moment_later_is_left_alone(volume: Path, tmp_path: Path) -> None:
    script = f"(sleep 0.1; touch {tmp_path}/finished) & exit 0"
    result = run("hold", volume / "a", "--", "sh", "-c", script)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "finished").exists()


def test_a_stopped_leftover_hears_that_it_has_to_end(volume: Path, tmp_path: Path) -> None:
    leftover = f"trap 'touch {tmp_path}/tidied; exit' TERM; kill -STOP $$; touch {tmp_path}/went-on"
    script = f"sh -c {shlex.quote(leftover)} & sleep 0.2"
    assert run("hold", volume / "a", "--", "sh", "-c", script).returncode == 0
    assert (tmp_path / "tidied").exists()
    assert not (tmp_path / "went-on").exists()
