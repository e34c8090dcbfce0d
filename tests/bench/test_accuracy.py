"""On mounts whose speed is known, the benchmark finds that speed and the verdict that belongs to
it. The short form runs always; the whole table is ``make long ARGS=tests/bench``, on a machine
that has nothing else to do: what a busy one takes from the mount is no fault of the figure."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bed import MooseFsBed
from tests.bench.harness import bench, one, rate
from tests.bench.mounts import (
    Limits,
    PacedMemory,
    ThrottledDisk,
    ThrottledMount,
    missing_fuse,
    missing_throttle,
    missing_tmpfs,
)
from volumelease.bench.document import Document, Result, Verdict

pytestmark = pytest.mark.torture  # they measure: nothing else may run beside them

RUNS: Final = 5
TOLERANCE: Final = 0.03
SPEEDS: Final[dict[int, Verdict]] = {
    150: "below documented",
    250: "typical",
    300: "typical",
    500: "above typical",
    1200: "fast",
    3000: "fast",
}
MIB: Final = 1 << 20

needs_fuse = pytest.mark.skipif(missing_fuse() is not None, reason=str(missing_fuse()))
needs_throttle = pytest.mark.skipif(missing_throttle() is not None, reason=str(missing_throttle()))
needs_tmpfs = pytest.mark.skipif(missing_tmpfs() is not None, reason=str(missing_tmpfs()))
needs_fio = pytest.mark.skipif(
    shutil.which("fio") is None, reason="no fio: apt-get install --no-install-recommends fio"
)

SHORT: Final[dict[str, Any]] = {
    "pace": "quick",
    "jobs": 2,
    "budget_bytes": 256 * MIB,
    "total_seconds": 18.0,  # each of three ways two repeats at least, of 2 s each
}

Run = Callable[[str], Document]


@contextmanager
def throttled(mb_per_s: int, **options: Any) -> Iterator[Run]:
    with ThrottledMount(Limits(bytes_per_second=mb_per_s * 1e6)) as mount:
        yield lambda scenario: bench(mount.path, scenario, **options)


@contextmanager
def disk(mb_per_s: int, **options: Any) -> Iterator[Run]:
    with ThrottledDisk(mb_per_s * 1e6) as mount:
        yield lambda scenario: bench(mount.path, scenario, prefix=mount.command([]), **options)


def shown(result: Result) -> str:
    interval = ", ".join(f"{end:.1f}" for end in result["ci95_mb_per_s"] or ())
    return f"{rate(result):.1f} ({interval}) {result['verdict']} {result['flags']}"


def test_a_mount_of_300_is_measured_as_300_and_typical() -> None:
    """Read slower than that it can only be by a machine that is busy, so there are three tries;
    faster than that never."""
    if reason := missing_fuse():
        pytest.skip(reason)
    with throttled(300, **SHORT) as run:
        found = []
        for _ in range(3):
            result = one(run("sequential-read"), "sequential-read", direct=True, jobs=1)
            found.append(shown(result))
            assert rate(result) < 300 * (1 + TOLERANCE)
            if rate(result) > 300 * (1 - TOLERANCE) and result["verdict"] == "typical":
                return
    pytest.fail(f"measured {found}")


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize(
    "mount",
    [
        pytest.param(throttled, id="throttled", marks=needs_fuse),
        pytest.param(disk, id="disk", marks=needs_throttle),
    ],
)
@pytest.mark.parametrize("scenario", ["sequential-read", "sequential-write"])
def test_every_run_finds_the_set_speed_and_its_verdict(
    scenario: str, mount: Callable[..., Any], speed: int
) -> None:
    """One job alone does not get 3 GB/s through a throttled mount: there the several count."""
    jobs = 3 if speed > 2000 else 1
    options = {"pace": "quick", "jobs": 3, "budget_bytes": 1536 * MIB, "repeat_seconds": 5.0}
    wrong = []
    with mount(speed, **options) as run:
        for number in range(RUNS):
            result = one(run(scenario), scenario, direct=True, jobs=jobs)
            print(f"run {number} at {speed} MB/s: {shown(result)}", flush=True)
            near = abs(rate(result) / speed - 1) <= TOLERANCE
            if not near or result["verdict"] != SPEEDS[speed]:
                wrong.append(shown(result))
    assert not wrong


@pytest.mark.torture
@pytest.mark.timeout(1800)
@needs_tmpfs
def test_memory_paced_at_10_gb_per_s_is_measured_as_that() -> None:
    with PacedMemory(10e9) as memory:
        found = [
            one(
                bench(
                    memory.path,
                    "sequential-read",
                    env=memory.environment,
                    pace="quick",
                    jobs=2,
                    budget_bytes=1024 * MIB,
                    local=True,
                ),
                "sequential-read",
                direct=True,
                jobs=jobs,
            )
            for _ in range(RUNS)
            for jobs in (2,)
        ]
    print([shown(result) for result in found])
    assert [rate(result) for result in found] == [pytest.approx(10_000, rel=0.05)] * RUNS
    assert {result["verdict"] for result in found} == {"not the volume"}, "it is memory"


@needs_tmpfs
def test_a_paced_memory_is_found_out_and_called_no_volume() -> None:
    """The short form: at a tenth of the speed, which a busy machine can do too."""
    with PacedMemory(400e6, size_bytes=512 * MIB) as memory:
        document = bench(
            memory.path,
            "sequential-read",
            env=memory.environment,
            local=True,
            **SHORT | {"repeats": 1, "total_seconds": 4.0},
        )
    result = one(document, "sequential-read", direct=True, jobs=1)
    assert rate(result) == pytest.approx(400, rel=0.1)
    assert result["verdict"] == "not the volume"


FIO: Final = (
    "fio --name=read --rw=read --bs=1m --direct=1 --ioengine=psync --time_based --runtime=10 "
    "--ramp_time=2 --randrepeat=0 --output-format=json"
)


def fio_rate(path: Path) -> float:
    """MB/s of one job that reads a file there, laid out by fio itself."""
    command = [*FIO.split(), f"--filename={path}", f"--size={256 * MIB}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    read = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]["read"]
    return float(read["bw_bytes"]) / 1e6


@pytest.mark.torture
@pytest.mark.timeout(1800)
@needs_fio
@pytest.mark.parametrize("speed", [200, 400])
def test_a_shaped_volume_is_measured_as_fio_measures_it(
    bed: MooseFsBed, shared_mounts: list[Path], speed: int
) -> None:
    bed.hosts[0].shape(speed * 1_000_000)
    near = shared_mounts[0]
    options: dict[str, Any] = {
        "pace": "quick",
        "jobs": 2,
        "budget_bytes": 512 * MIB,
        "repeat_seconds": 6.0,
    }
    for _ in range(RUNS):
        theirs = fio_rate(near / "fio")
        result = one(
            bench(near, "sequential-read", **options), "sequential-read", direct=True, jobs=1
        )
        print(f"shaped to {speed} MB/s: fio {theirs:.1f}, ours {shown(result)}", flush=True)
        assert rate(result) == pytest.approx(theirs, rel=0.05)
        assert rate(result) < speed
