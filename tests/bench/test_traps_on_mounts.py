"""What fools a naive measurement, on mounts that do it: each is seen to fool one first."""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path
from typing import Final

import pytest

from tests.bench.harness import bench, one, rate
from tests.bench.mounts import Limits, ThrottledMount, missing_fuse

pytestmark = [
    pytest.mark.skipif(missing_fuse() is not None, reason=str(missing_fuse())),
    pytest.mark.torture,  # they measure: nothing else may run beside them
]

MIB: Final = 1 << 20


def naive(path: Path, total: int, *, write: bool) -> float:
    """MB/s as a short look finds it: in blocks of 1 MiB, so many bytes, no second thought."""
    page = mmap.mmap(-1, MIB)
    page.write(os.urandom(MIB))
    flags = os.O_WRONLY | os.O_CREAT | os.O_DIRECT if write else os.O_RDONLY
    descriptor = os.open(path, flags, 0o600)
    call = os.pwritev if write else os.preadv
    started = time.monotonic()
    for offset in range(0, total, MIB):
        call(descriptor, [page], offset)
    elapsed = time.monotonic() - started
    os.close(descriptor)
    return total / elapsed / 1e6


def test_what_the_page_cache_holds_is_not_measured() -> None:
    """Trap 2."""
    with ThrottledMount(Limits(bytes_per_second=150e6, keeps_pages=True)) as mount:
        path = mount.path / "naive"
        path.write_bytes(os.urandom(32 * MIB))
        path.read_bytes()
        assert naive(path, 32 * MIB, write=False) > 2 * 150, "the cache fools who reads back"
        document = bench(
            mount.path,
            "sequential-read",
            pace="quick",
            jobs=2,
            budget_bytes=192 * MIB,
            repeats=1,
            total_seconds=6.0,
        )
    for result in document["results"]:
        assert rate(result) < 1.1 * 150, result
        assert "cache-suspected" not in result["flags"]


def test_credit_for_bursts_is_not_taken_for_the_speed() -> None:
    """Trap 4."""
    limits = Limits(bytes_per_second=60e6, credit_bytes=200e6)
    with ThrottledMount(limits) as mount:
        assert naive(mount.path / "naive", 64 * MIB, write=True) > 2 * 60, "a short look is fooled"
        (mount.path / "naive").unlink()
    with ThrottledMount(limits) as mount:
        document = bench(
            mount.path,
            "sequential-write",
            pace="quick",
            jobs=2,
            budget_bytes=512 * MIB,
            total_seconds=22.0,
        )
    result = one(document, "sequential-write", direct=True, jobs=1)
    assert rate(result) == pytest.approx(60, rel=0.1)
    assert "burst" in result["flags"]
    assert result["burst_ratio"] is not None
    assert result["burst_ratio"] > 1.25


def test_a_mount_of_slow_requests_is_shown_with_one_and_with_many_at_once() -> None:
    """Trap 5."""
    with ThrottledMount(Limits(request_seconds=0.005)) as mount:
        document = bench(
            mount.path,
            "model-load",
            pace="quick",
            jobs=2,
            budget_bytes=96 * MIB,
            repeats=1,
            total_seconds=8.0,
        )
    mapped = one(document, "model-load", variant="mmap")
    threads = one(document, "model-load", variant="threads")
    assert rate(threads) > 2 * rate(mapped)
    assert "latency-bound" in mapped["flags"]
    assert "latency-bound" not in threads["flags"]
    slow, fast = (result["cold_start_seconds"]["70B"] for result in (mapped, threads))
    assert slow > 2 * fast


def test_the_cap_of_one_stream_is_not_taken_for_the_volume() -> None:
    """Trap 6."""
    limits = Limits(bytes_per_second=400e6, stream_bytes_per_second=60e6)
    with ThrottledMount(limits) as mount:
        document = bench(
            mount.path,
            "sequential-read",
            pace="quick",
            jobs=6,
            budget_bytes=384 * MIB,
            repeats=2,
            total_seconds=9.0,
        )
    one_job = one(document, "sequential-read", direct=True, jobs=1)
    many = one(document, "sequential-read", direct=True, jobs=6)
    assert rate(one_job) == pytest.approx(60, rel=0.1)
    assert rate(many) > 3 * rate(one_job)
    assert "stream-capped" in one_job["flags"]
    assert "stream-capped" not in many["flags"]


def test_locks_that_the_kernel_answers_are_called_local_only() -> None:
    """Trap 8: this mount asks nobody about locks, and takes a while for a name."""
    with ThrottledMount(Limits(metadata_seconds=0.002)) as mount:
        result = one(bench(mount.path, "locks", pace="quick", jobs=2), "locks")
    assert result["flags"] == ["locks-local-only"]
    assert "LOCAL ONLY" in result["lease"]["told"]
