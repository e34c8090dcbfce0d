"""Where results go: a device, a pipe or a link stays what it is."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from volumelease.cli import bench_files
from volumelease.cli.speech import Problem

DOCUMENT: Any = {"schema": 1}
WRITTEN = '{\n "schema": 1\n}\n'


def deliver(path: Path) -> None:
    wanted = {"json_file": str(path)}
    bench_files.check(wanted)
    bench_files.write(wanted, DOCUMENT)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "now.json"
    path.write_text("old")
    before = path.stat().st_ino
    deliver(path)
    assert path.read_text() == WRITTEN
    assert path.stat().st_ino != before
    assert os.listdir(tmp_path) == ["now.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="making a device needs root")
def test_a_device_stays_a_device(tmp_path: Path) -> None:
    node = tmp_path / "null"
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        node.write_text("")
    except OSError as error:
        pytest.skip(f"no devices here: {error}")
    deliver(node)
    assert stat.S_ISCHR(node.lstat().st_mode)


def test_a_pipe_gets_all_of_it_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()), daemon=True)
    reader.start()
    deliver(pipe)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    reader.join(10)
    assert heard == [WRITTEN]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path, there: bool) -> None:
    (tmp_path / "months").mkdir()
    target = tmp_path / "months" / "november.json"
    if there:
        target.write_text("old")
    link = tmp_path / "latest.json"
    link.symlink_to("months/november.json")
    deliver(link)
    assert os.readlink(link) == "months/november.json"
    assert target.read_text() == WRITTEN
    assert os.listdir(tmp_path / "months") == ["november.json"]


def test_what_can_not_be_written_is_told_before(tmp_path: Path) -> None:
    link = tmp_path / "latest.json"
    link.symlink_to("gone/november.json")
    for path, said in ((tmp_path, "is a directory"), (link, "no directory")):
        with pytest.raises(Problem, match=said):
            bench_files.check({"json_file": str(path)})
