"""What the driver does to files, where it does more than one system call."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from volumelease.drivers.files import LARGEST_FILE_BYTES, Files
from volumelease.effects import Directory, OpenDirectory, ReadFile, ReadLink, RemoveTree

Read = Callable[[str], Any]


@pytest.fixture(params=["by its path", "in an open directory"])
def read(request: pytest.FixtureRequest, tmp_path: Path) -> Read:
    files = Files()

    def by_path(name: str) -> Any:
        return files.perform(ReadLink(f"{tmp_path}/{name}"))

    def in_directory(name: str) -> Any:
        directory: Directory = files.perform(OpenDirectory(str(tmp_path)))
        return files.perform(ReadLink(name, directory))

    return by_path if request.param == "by its path" else in_directory


@pytest.mark.parametrize("target", ["x", "x" * 1000, "with spaces  ", "é", "\udc80"])
def test_a_link_is_read_wherever_it_leads(read: Read, tmp_path: Path, target: str) -> None:
    (tmp_path / "link").symlink_to(target)
    assert read("link") == target


@pytest.mark.parametrize("what", ["file", "directory", "nothing"])
def test_what_is_no_link_is_told_from_what_is_not_there(
    read: Read, tmp_path: Path, what: str
) -> None:
    if what == "file":
        (tmp_path / "name").touch()
    elif what == "directory":
        (tmp_path / "name").mkdir()
    with pytest.raises(OSError, match="name") as failed:
        read("name")
    assert failed.value.errno == (errno.ENOENT if what == "nothing" else errno.EINVAL)


def test_a_target_of_another_length_than_the_server_says_is_not_believed(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a mount answers that remembers what a crashed server forgot."""
    (tmp_path / "link").symlink_to("what is there now")
    monkeypatch.setattr(os, "readlink", lambda *place, **at: "what was there before")
    with pytest.raises(OSError, match="mount the volume anew") as failed:
        read("link")
    assert failed.value.errno == errno.ESTALE


@pytest.mark.parametrize("path", ["a\0b", "a\ud800b"])
def test_a_path_that_no_file_can_have_is_an_error_of_the_system(path: str) -> None:
    """It stands in a forged record, and whoever comes across it must go on."""
    with pytest.raises(OSError, match=r"surrogates|null") as trouble:
        Files().perform(ReadLink(path))
    assert trouble.value.errno == errno.EINVAL


def test_what_is_too_large_to_be_ours_is_not_read(tmp_path: Path) -> None:
    place = tmp_path / "record"
    place.write_bytes(b"x")
    assert Files().perform(ReadFile(str(place))) == b"x"
    os.truncate(place, LARGEST_FILE_BYTES + 1)  # a file with a hole: it takes no space
    with pytest.raises(OSError, match="File too large"):
        Files().perform(ReadFile(str(place)))


def test_a_tree_that_is_nested_too_deeply_is_an_error_of_the_system(tmp_path: Path) -> None:
    """So it ends one cleaning and no session. Any path may be that deep: 4096 bytes are 2000
    names."""
    deep, names = str(tmp_path / "tree"), 1400
    paths = [deep := deep + "/a" if number else deep for number in range(names)]
    for path in paths:
        os.mkdir(path)
    try:
        with pytest.raises(OSError, match="nested too deeply") as found:
            Files().perform(RemoveTree(paths[0], 60.0))
        assert found.value.errno == errno.ELOOP
    finally:
        for path in reversed(paths):
            os.rmdir(path)
