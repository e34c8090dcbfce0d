"""Trap: the mount is missing, and the disk beneath it is measured at 15 GB/s."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.contexts import context_on
from tests.bench.documents import document
from tests.bench.mounting import memory, needs_root
from tests.bench.test_measuring import a_run
from tests.cli.shell import error_of, run
from volumelease.bench import running, surroundings
from volumelease.bench.document import MountFacts
from volumelease.bench.measuring import Measurement
from volumelease.bench.options import Options
from volumelease.bench.problems import BenchProblem
from volumelease.bench.report_html import report
from volumelease.bench.scratch import Scratch
from volumelease.bench.surroundings import (
    flags_of_the_place,
    is_the_volume,
    local_disk,
    mount_facts,
    refuse_what_is_beneath,
)
from volumelease.bench.textfile import markdown
from volumelease.cli.bench_views import show
from volumelease.errors import VolumeNotFound
from volumelease.paths.mounts import UNSEEN, Mount

ROOT_DISK = Mount("/", "/", "ext4", "/dev/vda", ("rw",), ("rw",), "8:0")
VOLUME = Mount("/runpod-volume", "/", "fuse", "mfs#10.0.0.1:9421", ("rw",), ("rw",), "0:50")


def test_the_disk_of_the_machine_is_refused() -> None:
    with pytest.raises(BenchProblem, match="nothing is mounted at /mnt/volume"):
        refuse_what_is_beneath("/mnt/volume", "/mnt/volume", ROOT_DISK)


def test_the_place_of_the_platform_without_its_volume_is_refused() -> None:
    other = Mount("/runpod", "/", "overlay", "overlay", ("rw",), ("rw",), "0:51")
    for mount in (ROOT_DISK, other):
        with pytest.raises(VolumeNotFound, match="no network volume is attached"):
            refuse_what_is_beneath("/runpod-volume/x", "/runpod-volume/x", mount)


def test_a_mount_that_can_not_be_seen_is_refused() -> None:
    with pytest.raises(BenchProblem, match="can't be seen what is mounted"):
        refuse_what_is_beneath("/mnt/volume", "/mnt/volume", UNSEEN)


def test_a_mounted_volume_is_measured() -> None:
    refuse_what_is_beneath("/runpod-volume/x", "/runpod-volume/x", VOLUME)


def test_the_command_refuses_it_and_leaves_nothing() -> None:
    before = set(os.listdir("/"))
    what, advice = error_of(run("bench", "/", "--quick"))
    assert "nothing is mounted at /" in what
    assert "--local" in advice
    assert set(os.listdir("/")) == before


def test_a_disk_that_is_asked_for_is_never_called_a_volume(tmp_path: Path) -> None:
    facts = mount_facts("/", local=True)
    assert not is_the_volume(facts)
    assert is_the_volume({**facts, "mount_point": "/mnt", "fstype": "fuse"})
    assert not is_the_volume({**facts, "mount_point": "/mnt", "fstype": "tmpfs"})


@pytest.mark.parametrize("fstype", ["ext4", "xfs", "btrfs", "zfs", "overlay"])
def test_a_disk_that_is_mounted_is_told_before_its_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fstype: str
) -> None:
    mount = Mount("/mnt/disk", "/", fstype, "/dev/vdb", ("rw",), ("rw",), "8:1")
    monkeypatch.setattr(surroundings, "mount_of", lambda *_: mount)
    facts = mount_facts("/", local=False)
    assert flags_of_the_place(facts) == ["local-disk"]
    note = local_disk(facts)
    assert f"disk of this machine ({fstype})" in note
    begun = running._begun(facts, Options(), [], "5eed")
    assert begun["notes"] == [note]
    whole = document(mount=facts, notes=[note, "another"])
    show(whole)
    said = capsys.readouterr().out
    assert said.splitlines()[2] == f"note: {note}"
    page = report(whole)
    for text in (said, markdown(whole), page):
        assert text.count(note) == 1
        assert text.index(note) < text.lower().index("sequential")


def test_a_volume_and_the_root_disk_are_no_mounted_disk() -> None:
    facts = mount_facts("/", local=True)
    assert flags_of_the_place({**facts, "mount_point": "/"}) == ["not-the-volume"]
    assert local_disk({**facts, "mount_point": "/"}) == ""
    volume: MountFacts = {**facts, "mount_point": "/mnt", "fstype": "fuse", "network": True}
    assert (flags_of_the_place(volume), local_disk(volume)) == ([], "")


def test_what_is_measured_on_a_mounted_disk_is_flagged(tmp_path: Path) -> None:
    measurement = Measurement("sequential-read", 1, 1 << 20, True)
    measurement.add(a_run(300))
    measurement.add(a_run(300))
    with context_on(tmp_path) as context:
        disk: MountFacts = {
            **context.mount, "mount_point": "/mnt", "fstype": "ext4", "network": False
        }  # fmt: skip
        result = measurement.result(replace(context, mount=disk))
    assert "local-disk" in result["flags"]
    assert result["verdict"] == "typical"


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_directory_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    what, _ = error_of(run("bench", tmp_path / name, "--local"))
    assert str(tmp_path / name) in what


@needs_root
def test_a_mount_that_goes_away_ends_the_run(tmp_path: Path) -> None:
    with memory(tmp_path / "volume") as place:
        scratch = Scratch.make(str(place), 1 << 20)
        scratch.beat()
        subprocess.run(["umount", "-l", str(place)], check=True)
        with pytest.raises(BenchProblem):
            scratch.beat()
        os.mkdir(scratch.path)
        with pytest.raises(BenchProblem, match="another file system"):
            scratch.beat()
