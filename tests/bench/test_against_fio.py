"""This engine against fio: the same work, in turn. What both measure is compared on a machine that
has nothing else to do: ``make long ARGS=tests/bench/test_against_fio.py``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.bench.contexts import context_on
from tests.bench.mounting import memory, needs_root
from tests.cli.shell import error_of, run
from volumelease.bench import fio
from volumelease.bench.checking import compare, differences
from volumelease.bench.document import CrossCheck
from volumelease.bench.layout import NO_DIRECT, Work, knows_no_direct, lay_out, orders
from volumelease.bench.options import MEBIBYTE
from volumelease.bench.scenario import Context
from volumelease.bench.sequential import one
from volumelease.bench.statistics import steady_at

needs_fio = pytest.mark.skipif(shutil.which("fio") is None, reason="no fio: make packages")

PAIRS = 7
SEQUENTIAL = [
    ("write", 1, MEBIBYTE),
    ("read", 1, MEBIBYTE),
    ("write", 1, 128 << 10),
    ("read", 1, 128 << 10),
    ("read", 2, MEBIBYTE),
]


VOLUME = pytest.param("volume", marks=pytest.mark.bed)


@pytest.fixture(params=["disk", "memory", VOLUME])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        if request.param == "memory":
            yield stack.enter_context(memory(tmp_path / "memory", "size=2G"))
        elif request.param == "volume":
            yield request.getfixturevalue("shared_mounts")[0]
        else:
            yield tmp_path


def compared(context: Context, work: Work, pairs: int) -> CrossCheck:
    lay_out(context, work.jobs)
    try:
        return compare(context, "sequential", work, pairs)
    except OSError as error:
        if knows_no_direct(error, work):
            pytest.skip(NO_DIRECT)
        raise


@needs_fio
@needs_root
@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mode", "jobs", "block"), SEQUENTIAL)
def test_sequential_work_is_measured_as_fio_measures_it(
    place: Path, mode: str, jobs: int, block: int
) -> None:
    with context_on(place, pace="normal", budget_bytes=1024 * MEBIBYTE) as context:
        check = compared(context, Work(mode, jobs, block, direct=True), PAIRS)
    print(f"{mode} {jobs} {block}: {check['ratio']:.3f} {check}")
    assert 0.95 <= check["ratio"] <= 1.05


@needs_fio
@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("place", ["disk", VOLUME], indirect=True)
@pytest.mark.parametrize("jobs", [1, 2])
def test_random_reads_are_at_least_nine_tenths_of_fio(place: Path, jobs: int) -> None:
    with context_on(place, pace="normal", budget_bytes=1024 * MEBIBYTE) as context:
        check = compared(context, Work("read", jobs, 4096, direct=True, at_random=True), PAIRS)
    print(f"random read {jobs}: {check['ratio']:.3f} {check}")
    assert check["ratio"] >= 0.9


@needs_fio
def test_both_engines_do_the_same_work(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        check = compared(context, Work("read", 2, MEBIBYTE, direct=True), 1)
    assert len(check["builtin_mb_per_s"]) == len(check["fio_mb_per_s"]) == 1
    assert min(*check["builtin_mb_per_s"], *check["fio_mb_per_s"]) > 0


@needs_fio
def test_fio_as_the_engine_gives_a_result_like_any_other(tmp_path: Path) -> None:
    with context_on(tmp_path, engine="fio", repeat_seconds=2.0) as context:
        lay_out(context, 1)
        result = one(context, "random-read", Work("read", 1, 4096, True, True), judged=False)
    if "no-direct-io" in result["flags"]:
        pytest.skip(NO_DIRECT)
    assert result["engine"] == "fio"
    assert result["median_mb_per_s"]
    assert len(result["repeats"][0]["samples_mb_per_s"]) >= 4
    assert result["latency_us"]["p50"] <= result["latency_us"]["p99"] <= result["latency_us"]["max"]


@needs_fio
def test_fio_says_why_it_failed(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        (order,) = orders(context, Work("read", 1, MEBIBYTE, direct=False))
        order["file_bytes"] = MEBIBYTE
        order["path"] = str(tmp_path / "missing")
        with pytest.raises(OSError, match="file creation disallowed"):
            fio.run(context.engine, [order], 1)


def test_fio_gets_plain_bytes_and_no_units(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        words = fio.arguments(orders(context, Work("write", 2, MEBIBYTE, False)), 2.0, "/logs")
    assert "--bs=1048576" in words
    sizes = [word for word in words if word.startswith("--size=")]
    assert len(sizes) == 2
    assert all(size.removeprefix("--size=").isdigit() for size in sizes)


def test_a_difference_of_more_than_a_tenth_is_flagged() -> None:
    check: CrossCheck = {
        "scenario": "sequential-read",
        "jobs": 1,
        "block_bytes": MEBIBYTE,
        "direct": True,
        "builtin_mb_per_s": [80.0],
        "fio_mb_per_s": [100.0],
        "ratio": 0.8,
        "differs": True,
    }
    result: dict[str, Any] = {**check, "flags": [], "verdict": "", "ci95_mb_per_s": None}
    document: Any = {"results": [result], "cross_check": [check]}
    (said,) = differences(document)
    assert "0.80 of what fio does" in said
    assert result["flags"] == ["fio-differs"]


def test_without_fio_its_user_is_told_how_to_get_it(tmp_path: Path) -> None:
    result = run("bench", tmp_path, "--local", "--engine", "fio", env={"PATH": str(tmp_path)})
    what, advice = error_of(result)
    assert "fio is not installed" in what
    assert "apt-get install fio" in advice
    assert list(tmp_path.iterdir()) == []


def test_samples_of_a_burst_are_not_steady_for_fio_either() -> None:
    assert steady_at([2345.0, 900.0, 200.0, 200.0]) is None
