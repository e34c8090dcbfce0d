"""The mounts of known speed have the speed that is known, measured by hand and not by us."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from tests.bed import MooseFsBed
from tests.bed.undertaker import mounts
from tests.bench.mounts import (
    Limits,
    PacedMemory,
    ThrottledDisk,
    ThrottledMount,
    missing_fuse,
    missing_throttle,
    missing_tmpfs,
)
from tests.bench.mounts.meter import Bucket

pytestmark = pytest.mark.torture  # they measure: nothing else may run beside them

ROOT: Final = Path(__file__).parents[2]
MIB: Final = 1 << 20

needs_fuse = pytest.mark.skipif(missing_fuse() is not None, reason=str(missing_fuse()))
needs_throttle = pytest.mark.skipif(missing_throttle() is not None, reason=str(missing_throttle()))
needs_tmpfs = pytest.mark.skipif(missing_tmpfs() is not None, reason=str(missing_tmpfs()))

READ_ALL: Final = """
import mmap, os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
page, done, started = mmap.mmap(-1, 1 << 20), 0, time.monotonic()
while count := os.preadv(descriptor, [page], done):
    done += count
print(done / (time.monotonic() - started) / 1e6)
"""


def file_of(directory: Path, mebibytes: int, name: str = "data") -> Path:
    path = directory / name
    path.write_bytes(os.urandom(mebibytes * MIB))
    return path


def read_rate(
    path: Path, prefix: list[str] | None = None, env: dict[str, str] | None = None
) -> float:
    """MB/s of reading all of it once, by a process that knows nothing of us."""
    command = [*(prefix or []), sys.executable, "-c", READ_ALL, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env, timeout=60)
    return float(done.stdout)


def test_a_bucket_lets_the_rate_through_and_its_credit_at_once() -> None:
    bucket = Bucket(rate=100.0, credit=50.0)
    bucket.empty_at = 10.0
    assert bucket.slot(50, now=11.0) == pytest.approx(11.0), "an idle second saved up the credit"
    assert bucket.slot(100, now=11.0) == pytest.approx(12.0)
    assert bucket.slot(100, now=11.7) == pytest.approx(13.0), "a late request costs nothing"
    assert bucket.slot(100, now=20.0) == pytest.approx(20.5), "no more than the credit is saved"


@needs_fuse
def test_a_throttled_mount_has_the_set_speed() -> None:
    with ThrottledMount(Limits(bytes_per_second=200e6)) as mount:
        file_of(mount.backing, 128)
        assert read_rate(mount.path / "data") == pytest.approx(200, rel=0.05)


@needs_fuse
def test_each_stream_has_a_cap_of_its_own() -> None:
    limits = Limits(bytes_per_second=200e6, stream_bytes_per_second=50e6)
    with ThrottledMount(limits) as mount:
        file_of(mount.backing, 24)
        assert read_rate(mount.path / "data") == pytest.approx(60, rel=0.2), "4 MiB are credit"


@needs_fuse
def test_latency_is_added_to_each_request() -> None:
    with ThrottledMount(Limits(request_seconds=0.01)) as mount:
        file_of(mount.backing, 20)
        assert read_rate(mount.path / "data") < 105, "1 MiB in 10 ms"


@needs_fuse
def test_credit_is_used_up_before_the_set_speed_shows() -> None:
    with ThrottledMount(Limits(bytes_per_second=50e6, credit_bytes=64 * MIB)) as mount:
        file_of(mount.backing, 64, "first")
        file_of(mount.backing, 16, "second")
        assert read_rate(mount.path / "first") > 75
        assert read_rate(mount.path / "second") < 75


@needs_fuse
def test_a_throttled_mount_does_what_a_directory_does() -> None:
    with ThrottledMount(Limits()) as mount:
        here = mount.path
        file_of(here, 1)
        os.rename(here / "data", here / "moved")
        os.symlink("moved", here / "link")
        (here / "folder").mkdir()
        assert (here / "link").read_bytes() == (mount.backing / "moved").read_bytes()
        with pytest.raises(FileExistsError):
            os.open(here / "moved", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        with pytest.raises(FileExistsError):
            os.symlink("other", here / "link")
        os.truncate(here / "moved", 10)
        os.utime(here / "moved", ns=(1, 7_000_000_000))
        assert os.stat(here / "moved").st_mtime_ns == 7_000_000_000
        assert os.stat(here / "moved").st_size == 10
        os.unlink(here / "link")
        os.rmdir(here / "folder")
        assert sorted(os.listdir(here)) == ["moved"]


@needs_fuse
def test_a_mount_goes_with_a_test_that_is_killed() -> None:
    code = (
        "import time; from tests.bench.mounts import Limits, ThrottledMount\n"
        "with ThrottledMount(Limits()) as mount: print(mount.path, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        assert path.is_mount()
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while path.parent.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not path.parent.exists()
    assert not [mount for mount in mounts() if mount.point == str(path)]


@needs_throttle
def test_a_throttled_disk_has_the_set_speed_for_who_is_held_to_it() -> None:
    with ThrottledDisk(100e6, size_bytes=96 * MIB) as disk:
        path = file_of(disk.path, 64)
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        # The kernel lets the first tenth of a second through.
        assert read_rate(path, disk.command([])) == pytest.approx(100 * 0.64 / 0.56, rel=0.1)
        assert read_rate(path) > 150
    assert not disk.path.parent.exists()


@needs_tmpfs
def test_paced_memory_has_the_set_speed_for_who_is_held_to_it() -> None:
    with PacedMemory(500e6, size_bytes=192 * MIB) as memory:
        path = file_of(memory.path, 128)
        assert read_rate(path, env=memory.environment) == pytest.approx(500, rel=0.05)
        assert read_rate(path) > 700


def test_a_shaped_cable_carries_no_more(bed: MooseFsBed, shared_mounts: list[Path]) -> None:
    near, far = shared_mounts
    path = file_of(far, 48)
    bed.hosts[0].shape(40_000_000)
    assert 28 < read_rate(near / path.name) < 41
    page = mmap.mmap(-1, MIB)
    page.write(os.urandom(MIB))
    started = time.monotonic()
    descriptor = os.open(near / "written", os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
    for number in range(32):
        os.pwritev(descriptor, [page], number * MIB)
    os.fsync(descriptor)
    os.close(descriptor)
    assert 25 < 32 * MIB / 1e6 / (time.monotonic() - started) < 45
    bed.hosts[0].heal()
    assert read_rate(far / path.name) > 60
