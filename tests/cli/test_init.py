"""``volumelease init`` and ``uninstall``: a directory becomes a volume, and is one no more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from volumelease.cli.returning import returns

from .conftest import picture_of
from .shell import Running, Terminal, environment, error_of, eventually, run, runs

# ---- init


def test_a_new_volume_grants_at_once(tmp_path: Path) -> None:
    result = run("init", tmp_path, "--ttl", "3")
    assert result.returncode == 0
    assert "is now a volume" in result.stdout
    assert "ttl 3 s" in result.stdout
    assert not picture_of(tmp_path).table.grace
    assert run("hold", "--timeout", "1", tmp_path / "a", "--", "true").returncode == 0


def test_a_local_directory_is_said_to_serve_one_host(tmp_path: Path) -> None:
    assert "other hosts are not excluded" in run("init", tmp_path).stderr


def test_a_second_init_changes_nothing(tmp_path: Path) -> None:
    run("init", tmp_path)
    identity = os.readlink(tmp_path / ".volumelease/identity")
    result = run("init", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "is a volume already" in result.stdout
    assert json.loads(identity)["id"] in result.stdout
    assert os.readlink(tmp_path / ".volumelease/identity") == identity


def test_another_ttl_is_refused_for_a_volume(tmp_path: Path) -> None:
    run("init", tmp_path, "--ttl", "3")
    result = run("init", tmp_path, "--ttl", "4")
    assert result.returncode == 1
    assert "3 s" in error_of(result)[0]
    assert run("init", tmp_path, "--ttl", "3").returncode == 0


def test_the_ttl_may_come_from_the_environment(tmp_path: Path) -> None:
    run("init", tmp_path, env={"VOLUMELEASE_TTL": "7"})
    assert picture_of(tmp_path).identity.ttl == 7


@pytest.mark.parametrize("trace", ["empty", "deleted"])
def test_traces_of_an_earlier_log_make_it_start_in_grace(tmp_path: Path, trace: str) -> None:
    if trace == "empty":
        (tmp_path / ".volumelease").mkdir()
    else:
        run("init", tmp_path, "--ttl", "2")
        (tmp_path / ".volumelease/identity").unlink()
    result = run("init", tmp_path, "--ttl", "2")
    assert result.returncode == 0
    assert "granted after 3 s" in result.stderr
    assert picture_of(tmp_path).table.grace
    assert run("hold", "--timeout", "0.2", tmp_path, "--", "true").returncode == 75


def test_a_volume_inside_a_volume_is_refused(volume: Path) -> None:
    inner = volume / "inner"
    inner.mkdir()
    result = run("init", inner)
    assert result.returncode == 1
    assert str(volume) in error_of(result)[0]
    assert not (inner / ".volumelease").exists()


def test_what_can_not_be_a_volume_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for directory in (tmp_path / "missing", file):
        result = run("init", directory)
        assert result.returncode == 1
        assert "is no directory" in error_of(result)[0]
    result = run("init", "/proc")
    assert result.returncode == 1
    error_of(result)


def test_something_else_named_like_our_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".volumelease").write_text("mine")
    result = run("init", tmp_path)
    assert result.returncode == 1
    assert ".volumelease" in error_of(result)[0]
    assert (tmp_path / ".volumelease").read_text() == "mine"


@pytest.mark.parametrize("ttl", ["1.9", "0", "-3", "nan", "inf", "x"])
def test_a_ttl_that_can_not_work_is_wrong_usage(tmp_path: Path, ttl: str) -> None:
    result = run("init", tmp_path, "--ttl", ttl)
    assert result.returncode == 2
    error_of(result)
    assert not (tmp_path / ".volumelease").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_can_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    result = run("init", tmp_path)
    tmp_path.chmod(0o755)
    assert result.returncode == 1
    assert "can't be written" in error_of(result)[0]


# ---- uninstall


def test_an_unused_volume_is_cleared_of_everything_of_ours(volume: Path) -> None:
    (volume / "mine").write_text("data")
    run("hold", volume / "mine", "--", "true")
    result = run("uninstall", volume, "--yes")
    assert (result.returncode, result.stderr) == (0, "")
    assert os.listdir(volume) == ["mine"]


def test_a_volume_in_use_stays(volume: Path) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60", env={"RUNPOD_POD_ID": "ab12"}):
        eventually(lambda: picture_of(volume).holders())
        result = run("uninstall", volume, "--yes")
        assert result.returncode == 1
        assert "worker ab12" in result.stderr
        assert "error: " in result.stderr
        assert len(picture_of(volume).table.holdings) == 1


def test_sessions_of_the_dead_do_not_keep_a_volume(volume: Path) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60") as hold:
        eventually(lambda: picture_of(volume).holders())
        warden = hold.child("lease-warden")
        os.kill(hold.child("lease-keeper"), signal.SIGKILL)  # it would end the session
        hold.process.kill()
        eventually(lambda: not runs(warden))
    assert len(picture_of(volume).table.sessions) == 1
    assert run("uninstall", volume, "--yes").returncode == 0
    assert os.listdir(volume) == []


def test_a_session_of_another_host_is_watched_for_a_ttl(volume: Path) -> None:
    """Nothing can be proven about it, so its heartbeat has to stand still."""
    from volumelease.authorities.volume.layout import Layout
    from volumelease.clock import SystemClock
    from volumelease.core.records import SessionFacts
    from volumelease.drivers.files import Files
    from volumelease.host import ProcessFacts
    from volumelease.leases.hosting import HostedSession

    identity = picture_of(volume).identity
    elsewhere = ProcessFacts("elsewhere", "another-boot", 1, 4321, 77)
    hosted = HostedSession(
        identity=identity,
        layout=Layout.of(str(volume), identity),
        facts=SessionFacts(elsewhere, "llama", "cd34"),
        clock=SystemClock(),
        performer=Files(elsewhere),
        report=print,
        retention_seconds=600.0,
    )
    hosted.open()
    result = run("uninstall", volume, "--yes")
    assert result.returncode == 1
    assert "worker cd34" in result.stderr
    hosted.session.pulse.lose("the test is over")
    result = run("uninstall", volume, "--yes")
    assert result.returncode == 0
    assert "watching for 3 s" in result.stderr


def test_without_a_person_it_wants_a_yes(volume: Path) -> None:
    result = run("uninstall", volume)
    assert result.returncode == 2
    assert "--yes" in error_of(result)[1]
    assert (volume / ".volumelease/identity").is_symlink()


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_a_person_is_asked(volume: Path, answer: str, code: int) -> None:
    with Terminal("uninstall", volume) as terminal:
        terminal.wait_for("[y/N]")
        terminal.press(f"{answer}\n")
        assert terminal.finish() == code
    assert (volume / ".volumelease").exists() is (answer == "n")


def test_published_directories_are_not_thrown_away(volume: Path) -> None:
    identity = picture_of(volume).identity
    (volume / ".volumelease" / identity.id / "versions/v1").mkdir()
    result = run("uninstall", volume, "--yes")
    assert result.returncode == 1
    assert "versions" in error_of(result)[0]
    assert (volume / ".volumelease" / identity.id / "versions/v1").is_dir()


def _publish(volume: Path) -> None:
    """A file, a directory twice, and one that was adopted."""
    (volume / "deep" / "old").mkdir(parents=True)
    (volume / "deep" / "old" / "w").write_text("adopted")
    assert run("adopt", volume / "deep" / "old").returncode == 0
    for content in ("first", "second"):
        script = f"import sys, pathlib; d = pathlib.Path(sys.argv[1])\n{PUBLISH}"
        words = [sys.executable, "-c", script, str(volume), content]
        subprocess.run(words, env=environment(), check=True, timeout=60)


PUBLISH = """
from volumelease import volume_lease
with volume_lease(d) as lease:
    with lease.open(d / "file", "w") as file:
        file.write(sys.argv[2])
    with lease.stage(d / "sub/tree") as draft:
        draft.mkdir()
        (draft / "w").write_text(sys.argv[2])
"""


def test_what_was_published_stays_at_its_public_place(volume: Path) -> None:
    _publish(volume)
    assert (volume / "sub/tree").is_symlink()
    result = run("uninstall", volume, "--yes")
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(os.listdir(volume)) == ["deep", "file", "sub"]
    assert (volume / "file").read_text() == "second"
    assert (volume / "sub/tree/w").read_text() == "second"
    assert (volume / "deep/old/w").read_text() == "adopted"
    for place in ("sub/tree", "deep/old"):
        assert not (volume / place).is_symlink()


def test_an_interrupted_return_goes_on_where_it_stopped(volume: Path) -> None:
    _publish(volume)
    one = next(one for one in returns(str(volume)) if one.place.endswith("tree"))
    os.rename(one.place, f"{one.version}.leaving")
    assert run("uninstall", volume, "--yes").returncode == 0
    assert (volume / "sub/tree/w").read_text() == "second"
    assert not (volume / ".volumelease").exists()


def test_a_version_whose_link_was_moved_by_hand_is_not_thrown_away(volume: Path) -> None:
    _publish(volume)
    os.rename(volume / "sub/tree", volume / "sub/elsewhere")
    result = run("uninstall", volume, "--yes")
    assert result.returncode == 1
    assert f"belongs at {volume}/sub/tree" in error_of(result)[0]
    assert (volume / "sub/elsewhere/w").read_text() == "second"


def test_a_directory_that_is_no_volume_is_an_error(tmp_path: Path) -> None:
    result = run("uninstall", tmp_path, "--yes")
    assert result.returncode == 1
    assert "is no volume" in error_of(result)[0]
    (tmp_path / ".volumelease").write_text("mine")
    assert run("uninstall", tmp_path, "--yes").returncode == 1
    assert (tmp_path / ".volumelease").read_text() == "mine"
