"""Trap: the page cache, which reads a 300 MB/s mount back at 7,038."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.contexts import context_on
from tests.bench.mounting import memory, needs_root
from volumelease.bench.layout import Work, file_name, lay_out, transfer
from volumelease.bench.measuring import Measurement
from volumelease.bench.residency import forget, resident_share
from volumelease.bench.surroundings import mount_facts


def on_a_disk(directory: Path) -> None:
    kind = mount_facts(str(directory), local=True)["fstype"]
    if kind not in ("ext4", "xfs", "btrfs"):
        pytest.skip(f"{kind} keeps its own cache: TMPDIR on a disk would do")


def test_what_was_read_is_resident_until_it_is_forgotten(tmp_path: Path) -> None:
    on_a_disk(tmp_path)
    file = tmp_path / "file"
    file.write_bytes(os.urandom(1 << 20))
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
        assert resident_share(descriptor) == 1.0
        forget(descriptor)
        assert resident_share(descriptor) == 0.0
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("at_random", [False, True])
def test_a_buffered_read_begins_with_nothing_in_the_cache(tmp_path: Path, at_random: bool) -> None:
    on_a_disk(tmp_path)
    with context_on(tmp_path) as context:
        lay_out(context, 1)
        Path(context.scratch.path, file_name(0)).read_bytes()
        block = 4096 if at_random else 1 << 20
        run = transfer(context, Work("read", 1, block, False, at_random))
        descriptor = os.open(Path(context.scratch.path, file_name(0)), os.O_RDONLY)
        left = resident_share(descriptor)
        os.close(descriptor)
    assert run.answers[0]["resident_share"] == 0.0
    if at_random:
        assert left < 0.2, "most of the file would be read out of the cache by and by"


@needs_root
def test_a_cache_that_can_not_be_emptied_is_suspected(tmp_path: Path) -> None:
    with memory(tmp_path / "memory") as place, context_on(place) as context:
        lay_out(context, 1)
        measurement = Measurement("sequential-read", 1, 1 << 20, False)
        measurement.add(transfer(context, Work("read", 1, 1 << 20, False)))
        result = measurement.result(context)
        context.mount["fstype"] = "fuse.somewhere"
        suspected = measurement.result(context)
    assert "cache-suspected" in result["flags"]
    assert result["verdict"] == "not the volume"
    measurement.flags.discard("not-the-volume")
    assert suspected["verdict"] in ("cache suspected", "not the volume")


def test_a_buffered_write_counts_what_was_written_back(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        run = transfer(context, Work("write", 1, 1 << 20, False))
    (answer,) = run.answers
    # 32 MiB are behind the writer, and the fsync at the end is not in the rate.
    assert answer["bytes"] > 0
    assert answer["fsync_seconds"] >= 0.0
    counted = run.bytes_per_s * run.seconds
    assert counted <= answer["bytes"] * 1.5
