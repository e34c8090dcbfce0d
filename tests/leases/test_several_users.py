"""Workers of several users share one volume."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leases.test_volume_lease import found
from volumelease.core.records import SEGMENT_ENTRIES
from volumelease.drivers.files import Files
from volumelease.effects import MakeDirectory
from volumelease.leases.asking import volume_lease

NOBODY = 65534


@pytest.fixture
def control(tmp_path: Path) -> Path:
    made = tmp_path / ".volumelease"
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def narrow() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def make(path: Path) -> os.stat_result:
    Files().perform(MakeDirectory(str(path)))
    return path.lstat()


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o755, 0o700])
def test_who_may_write_a_directory_of_ours_may_write_those_made_in_it(
    control: Path, mode: int
) -> None:
    control.chmod(mode)
    made = stat.S_IMODE(make(control / "x").st_mode)
    assert made == 0o755 | (mode & 0o022)
    assert stat.S_IMODE(make(control.parent / "beside").st_mode) == 0o755


def test_what_is_there_already_stays_as_it_is(control: Path) -> None:
    control.chmod(0o777)
    (control / "x").mkdir()
    with pytest.raises(FileExistsError):
        make(control / "x")
    assert stat.S_IMODE((control / "x").stat().st_mode) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes what others own")
def test_a_segment_that_root_turned_is_of_the_owner_of_the_log(tmp_path: Path) -> None:
    found(tmp_path).close()
    os.chown(tmp_path, NOBODY, NOBODY)
    for folder, below, files in os.walk(tmp_path):
        for name in (*below, *files):
            os.lchown(f"{folder}/{name}", NOBODY, NOBODY)
    volumes = found(tmp_path)
    for _ in range(SEGMENT_ENTRIES // 2 + 2):
        with volume_lease(tmp_path / "a", volumes=volumes):
            pass
    volumes.close()
    folders = [Path(folder) for folder, _, _ in os.walk(tmp_path / ".volumelease")]
    assert any(path.name.startswith("1-") for path in folders)
    assert {(path.stat().st_uid, path.stat().st_gid) for path in folders} == {(NOBODY, NOBODY)}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_a_group_that_does_not_own_it_gets_nothing() -> None:
    with tempfile.TemporaryDirectory() as base:
        os.chmod(base, 0o755)
        control = Path(base, ".volumelease")
        control.mkdir()
        os.chown(control, 0, NOBODY)
        control.chmod(0o777)
        os.seteuid(1234)
        try:
            made = make(control / "x")
        finally:
            os.seteuid(0)
        assert (made.st_uid, stat.S_IMODE(made.st_mode)) == (1234, 0o757)
