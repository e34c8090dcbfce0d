"""The cold load of a model: a real safetensors file, loaded as that library loads it."""

from __future__ import annotations

import json
import os
import statistics
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.bench.contexts import context_on
from volumelease.bench.contents import PAGE
from volumelease.bench.job import Job
from volumelease.bench.model import FILE, MODEL_BYTES, lay_out, measure, run
from volumelease.bench.options import MEBIBYTE
from volumelease.bench.tensors import (
    HEADER_BYTES,
    LEAST_PIECE,
    load,
    piece_after,
    tensors_of,
)

ONCE = "tests.bench.loading:by_mapping"
BY_SAFETENSORS = "tests.bench.loading:by_safetensors"

needs_safetensors = pytest.mark.skipif(
    find_spec("safetensors") is None or find_spec("numpy") is None,
    reason="no safetensors: pip install -e '.[guard-tests]'",
)


@pytest.mark.parametrize("size", [32 * MEBIBYTE, 384 * MEBIBYTE, 4096 * MEBIBYTE])
def test_tensors_fill_the_file_one_after_another(size: int) -> None:
    spans = [tensor["data_offsets"] for tensor in tensors_of(size).values()]
    assert spans[0][0] == 0
    assert spans[-1][1] == size - HEADER_BYTES
    assert all(one[1] == other[0] for one, other in pairwise(spans))
    assert len(json.dumps(tensors_of(size))) < HEADER_BYTES - 8


def test_the_file_is_one_that_any_reader_of_the_format_takes(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        size = lay_out(context)
        path = Path(context.scratch.path, FILE)
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            first = file.read(PAGE)
        assert path.stat().st_size == size
    assert 8 + length == HEADER_BYTES
    assert header == tensors_of(size)
    assert len(set(first)) > 200


def test_each_way_loads_all_of_it(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        results = list(run(context))
    assert [result["variant"] for result in results] == ["mmap", "read", "threads"]
    for result in results:
        rate = result["median_mb_per_s"]
        assert rate
        assert result["cold_start_seconds"]["70B"] == pytest.approx(140e9 / 1e6 / rate)
        assert list(result["cold_start_seconds"]) == list(MODEL_BYTES)
    assert (results[2]["threads"], results[2]["block_bytes"]) == (8, 4 * MEBIBYTE)


class Page:
    """Where a load tells how far it is; it is told to stop after so many operations."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.counts = [0]

    def told_to_stop(self) -> bool:
        return len(self.counts) > self.most

    def count(self, done_bytes: int, active_ns: int) -> None:
        self.counts.append(done_bytes)

    def count_more(self, operations: int, errors: int, cpu_ns: int) -> None: ...

    def ready(self) -> None: ...

    def told_to_wait(self) -> bool:
        return False


@pytest.mark.parametrize("way", ["mmap", "read"])
def test_a_load_can_be_stopped_within_a_tensor(tmp_path: Path, way: str) -> None:
    size = 64 * MEBIBYTE
    path = tmp_path / FILE
    path.write_bytes(os.urandom(size))
    order = {"path": str(path), "file_bytes": size, "way": way, "threads": 1}
    page: Any = Page(3)
    answer = load(Job(0, page), order)
    steps = [after - before for before, after in pairwise(page.counts)]
    assert len(steps) == answer["operations"] == 3
    assert steps[0] == LEAST_PIECE
    assert all(after <= 4 * before for before, after in pairwise(steps))
    assert sum(steps) == answer["bytes"] <= 21 * MEBIBYTE < 8 * 4096 * 1024, "in the first tensor"
    page = Page(48)
    assert load(Job(0, page), order)["bytes"] == page.counts[-1] > 8 * 4096 * 1024, "and beyond"


def test_a_piece_takes_a_tenth_of_a_second() -> None:
    tenth = 100_000_000
    assert piece_after(8 * MEBIBYTE, 8 * MEBIBYTE, 2 * tenth) == 4 * MEBIBYTE
    assert piece_after(8 * MEBIBYTE, 2 * MEBIBYTE, tenth // 4) == 8 * MEBIBYTE, "end of a tensor"
    assert piece_after(MEBIBYTE, MEBIBYTE, 1000) == 4 * MEBIBYTE, "one alone says little"
    assert piece_after(MEBIBYTE, MEBIBYTE, 30 * tenth) == LEAST_PIECE


def test_a_file_that_became_shorter_ends_its_load(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.write_bytes(bytes(8 * MEBIBYTE))
    page: Any = Page(1000)
    order = {"path": str(path), "file_bytes": 64 * MEBIBYTE, "way": "read", "threads": 1}
    with pytest.raises(OSError, match="shorter than it was made"):
        load(Job(0, page), order)


@needs_safetensors
def test_safetensors_reads_what_was_written(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    with context_on(tmp_path) as context:
        size = lay_out(context)
        path = Path(context.scratch.path, FILE)
        found = load_file(path)
        data = path.read_bytes()
    for name, tensor in tensors_of(size).items():
        first, last = tensor["data_offsets"]
        assert found[name].tobytes() == data[HEADER_BYTES + first : HEADER_BYTES + last]


@needs_safetensors
@pytest.mark.torture
@pytest.mark.timeout(600)
def test_mmap_takes_as_long_as_safetensors_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within 10 %, in turn, both cold. On a machine that has nothing else to do:
    ``make long ARGS=tests/bench/test_model_load.py``."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    ratios = []
    with context_on(tmp_path, pace="normal", budget_bytes=2048 * MEBIBYTE) as context:
        size = lay_out(context)
        order = {
            "path": str(Path(context.scratch.path, FILE)),
            "file_bytes": size,
            "way": "mmap",
            "threads": 1,
        }
        for number in range(8):
            rates = {}
            for way in ("mmap", "safetensors") if number % 2 else ("safetensors", "mmap"):
                task = ONCE if way == "mmap" else BY_SAFETENSORS
                rates[way] = context.engine.run(task, [order], whole=True).bytes_per_s
            ratios.append(rates["mmap"] / rates["safetensors"])
        result = measure(context, "mmap", size)
    print(f"{statistics.median(ratios):.3f} {ratios} {result['median_mb_per_s']}")
    assert 0.9 <= statistics.median(ratios) <= 1.1
