"""Safety: a private directory of its own, a budget, and clean, which removes nothing else."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.cli.shell import run
from volumelease.bench.options import MEBIBYTE, Options, parse_size
from volumelease.bench.problems import BenchProblem
from volumelease.bench.running import within_free_space
from volumelease.bench.scratch import PREFIX, STALE_SECONDS, Scratch, clean
from volumelease.host import this_process


def left_by(directory: Path, name: str = "0123456789abcdef", **facts: object) -> Path:
    """What a killed run of this host leaves."""
    path = directory / (PREFIX + name)
    path.mkdir(0o700)
    process = list(this_process()._replace(start_time=1))
    (path / "owner.json").write_text(json.dumps({"process": process, **facts}))
    (path / "data-0").write_bytes(b"x")
    return path


def test_it_is_private_and_nobody_can_guess_its_name(tmp_path: Path) -> None:
    one, other = (Scratch.make(str(tmp_path), MEBIBYTE) for _ in range(2))
    assert one.path != other.path
    assert stat.S_IMODE(os.stat(one.path).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(one.file("data", 10)).st_mode) == 0o600


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    scratch = Scratch.make(str(tmp_path), MEBIBYTE)
    os.symlink(precious, os.path.join(scratch.path, "data"))
    path = scratch.file("data", 10)
    with pytest.raises(OSError, match="symbolic"):
        os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    scratch.remove()
    assert precious.read_text() == "mine"


def test_what_a_killed_job_had_open_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refused = shutil.rmtree, iter(range(2))

    def rmtree(path: str) -> None:
        if next(refused, None) is not None:
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        real(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    Scratch.make(str(tmp_path), MEBIBYTE).remove()
    assert os.listdir(tmp_path) == []


def test_more_than_the_budget_is_refused(tmp_path: Path) -> None:
    scratch = Scratch.make(str(tmp_path), 100)
    scratch.file("a", 60)
    scratch.file("a", 60)
    with pytest.raises(BenchProblem, match="over its budget"):
        scratch.file("b", 60)
    scratch.drop("a")
    scratch.file("b", 60)


def test_it_leaves_a_fifth_of_the_free_space_to_others() -> None:
    free = 2048 * MEBIBYTE
    budget = within_free_space(Options(), free, "/mnt").budget_bytes
    assert budget == int(free * 0.8)
    assert (
        within_free_space(Options(budget_bytes=free // 4), free, "/mnt").budget_bytes == free // 4
    )


def test_a_volume_that_is_full_is_told_before_anything_is_written() -> None:
    with pytest.raises(BenchProblem, match="is full: 50 MB are free"):
        within_free_space(Options(), 50_000_000, "/mnt")


def test_files_of_all_jobs_keep_within_half_of_the_budget() -> None:
    for jobs in (2, 8, 32):
        options = Options(jobs=jobs, budget_bytes=4096 * MEBIBYTE)
        assert options.files_bytes <= options.budget_bytes // 2
        assert all(options.file_bytes(number) % (4 * MEBIBYTE) == 0 for number in range(jobs))


@pytest.mark.parametrize(
    ("text", "size"),
    [("256M", 256 << 20), ("8g", 8 << 30), ("1000", 1000), ("M", None), ("-1", None), ("1X", None)],
)
def test_sizes_are_read_in_binary_units(text: str, size: int | None) -> None:
    assert parse_size(text) == size


def test_clean_removes_what_a_dead_run_left(tmp_path: Path) -> None:
    path = left_by(tmp_path)
    (cleaned,) = clean(str(tmp_path))
    assert (cleaned.path, cleaned.removed) == (str(path), True)
    assert not path.exists()


def test_clean_keeps_what_a_live_run_uses(tmp_path: Path) -> None:
    scratch = Scratch.make(str(tmp_path), MEBIBYTE)
    (cleaned,) = clean(str(tmp_path))
    assert not cleaned.removed
    assert "last sign of life" in cleaned.reason
    assert os.path.isdir(scratch.path)


def test_clean_keeps_what_a_live_run_of_this_host_uses_however_silent_it_is(
    tmp_path: Path,
) -> None:
    scratch = Scratch.make(str(tmp_path), MEBIBYTE)
    old = os.stat(scratch.path).st_mtime - STALE_SECONDS - 60
    os.utime(os.path.join(scratch.path, "owner.json"), (old, old))
    (cleaned,) = clean(str(tmp_path))
    assert not cleaned.removed
    assert f"process {os.getpid()}" in cleaned.reason
    assert "uses it" in cleaned.reason
    assert os.path.isdir(scratch.path)


def test_clean_waits_for_another_host_to_be_silent(tmp_path: Path) -> None:
    process = list(this_process()._replace(hostname="elsewhere", boot_id="other"))
    path = left_by(tmp_path, process=process)
    assert not clean(str(tmp_path))[0].removed
    old = path.stat().st_mtime - STALE_SECONDS - 1
    os.utime(path / "owner.json", (old, old))
    assert clean(str(tmp_path))[0].removed


def test_clean_touches_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / (PREFIX + "notes")).mkdir()
    (tmp_path / (PREFIX + "0123456789abcdef")).write_text("a file of that name")
    os.symlink(tmp_path / "data", tmp_path / (PREFIX + "fedcba9876543210"))
    before = sorted(os.listdir(tmp_path))
    assert clean(str(tmp_path)) == []
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a directory away needs root")
def test_clean_keeps_what_another_user_made(tmp_path: Path) -> None:
    path = left_by(tmp_path)
    os.chown(path, 12345, 12345)
    (cleaned,) = clean(str(tmp_path))
    assert not cleaned.removed
    assert "belongs to user 12345" in cleaned.reason


def test_a_damaged_owner_is_waited_for(tmp_path: Path) -> None:
    path = left_by(tmp_path)
    (path / "owner.json").write_text("{")
    assert not clean(str(tmp_path))[0].removed


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    path = left_by(tmp_path)
    result = run("bench", "clean", tmp_path)
    assert (result.returncode, result.stdout) == (0, f"removed {path}\n")
    again = run("bench", "clean", tmp_path, "--json")
    assert json.loads(again.stdout) == {"schema": 1, "directories": []}
