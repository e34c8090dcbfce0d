"""Signals, kill -9, full volumes and quotas: no child is left, the scratch is gone, nothing of a
user's is touched, and a partial result is marked so."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.bed.moosefs import MooseFsBed
from tests.bench.mounting import memory, needs_root
from tests.cli.shell import Running, children_of, error_of, eventually, run, runs
from volumelease.bench.scratch import PREFIX

ARGUMENTS = ("--full", "--local", "--budget", "192M", "--jobs", "2")


def with_file_of_a_user(tmp_path: Path) -> Path:
    directory = tmp_path / "volume"
    directory.mkdir()
    (directory / "precious").write_text("mine")
    return directory


def left_in(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.startswith(PREFIX)]


def jobs_at_work(bench: Running, directory: Path) -> list[int]:
    """Its children, once they write: in the middle of a run."""

    def writing() -> bool:
        files = [file for name in left_in(directory) for file in (directory / name).glob("data-*")]
        return any(file.stat().st_size > 1 << 20 for file in files)

    eventually(writing, 60)
    return children_of(bench.pid)


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.torture)],
)
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    directory = with_file_of_a_user(tmp_path)
    target = tmp_path / "result.json"
    with Running("bench", directory, *ARGUMENTS, "--json", target) as bench:
        jobs = jobs_at_work(bench, directory)
        bench.signal(number)
        code, _, err = bench.finish(30)
    assert code == 128 + number
    assert jobs
    assert not [pid for pid in jobs if runs(pid)]
    assert os.listdir(directory) == ["precious"]
    assert (directory / "precious").read_text() == "mine"
    document = json.loads(target.read_text())
    assert (document["partial"], document["reason"]) == (True, "interrupted")
    assert "error: interrupted" in err


def test_a_group_that_is_signalled_ends_in_order_too(tmp_path: Path) -> None:
    directory = with_file_of_a_user(tmp_path)
    with Running("bench", directory, *ARGUMENTS) as bench:
        jobs_at_work(bench, directory)
        os.killpg(bench.pid, signal.SIGINT)  # as a terminal does
        code, _, err = bench.finish(30)
    assert code == 130
    assert "Traceback" not in err
    assert os.listdir(directory) == ["precious"]


def test_after_kill_9_no_job_goes_on_and_clean_removes_the_rest(tmp_path: Path) -> None:
    directory = with_file_of_a_user(tmp_path)
    with Running("bench", directory, *ARGUMENTS) as bench:
        jobs = jobs_at_work(bench, directory)
        bench.signal(signal.SIGKILL)
        bench.finish(30)
    eventually(lambda: not [pid for pid in jobs if runs(pid)])
    assert len(left_in(directory)) == 1
    assert run("bench", "clean", directory).returncode == 0
    assert os.listdir(directory) == ["precious"]


@needs_root
def test_a_volume_that_gets_full_is_explained_and_cleaned_up(tmp_path: Path) -> None:
    with memory(tmp_path / "volume", "size=400M") as volume:
        (volume / "precious").write_text("mine")
        target = tmp_path / "result.json"
        arguments = ("--quick", "--jobs", "2", "--scenario", "sequential-write", "--json", target)
        with Running("bench", volume, *arguments) as bench:
            jobs_at_work(bench, volume)
            with open(volume / "other", "wb") as file, pytest.raises(OSError, match="No space"):
                while True:  # another user fills it up meanwhile
                    file.write(bytes(1 << 20))
                    file.flush()
            code, _, err = bench.finish(60)
        assert code == 1, err
        assert "is full: no space left" in err
        assert sorted(os.listdir(volume)) == ["other", "precious"]
        assert json.loads(target.read_text())["partial"] is True


@needs_root
def test_a_full_volume_is_told_before_it_begins(tmp_path: Path) -> None:
    with memory(tmp_path / "volume", "size=16M") as volume:
        what, advice = error_of(run("bench", volume))
        assert "is full" in what
        assert "Free some space".lower() in advice.lower()
        assert os.listdir(volume) == []


def test_a_quota_is_explained_and_cleaned_up(bed: MooseFsBed, shared_mounts: list[Path]) -> None:
    """On a real volume: a quota is seen in the free space of none, so the run meets it."""
    volume = shared_mounts[0]
    bed.set_quota(volume, bytes=48 << 20)
    arguments = ("--quick", "--jobs", "2", "--scenario", "sequential-write")
    try:
        with Running("bench", volume, *arguments) as bench:
            code, _, err = bench.finish(100)
    finally:
        bed.clear_quota(volume)
    assert code == 1, err
    assert "the quota of the volume" in err
    assert "raise the quota" in err
    assert os.listdir(volume) == []


def run_as(user: int, *arguments: str | Path) -> tuple[int, str, str]:
    prefix = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    with Running(*arguments, prefix=prefix) as bench:
        return bench.finish(120)


def test_a_user_without_permission_is_told(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    closed = tmp_path / "closed"
    closed.mkdir(0o755)
    os.chmod(tmp_path, 0o755)
    code, _, err = run_as(12345, "bench", closed, "--local")
    assert code == 1
    assert "can't be written: Permission denied" in err or "Permission denied" in err
