"""Trap: sparse or constant data, read at 122 GB/s from a hole."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.bench.contexts import context_on
from volumelease.bench.contents import PAGE, PERIOD, Contents
from volumelease.bench.job import Job
from volumelease.bench.layout import TRANSFER, Work, file_name, lay_out, orders, transfer, verify
from volumelease.bench.measuring import Measurement
from volumelease.bench.problems import BenchProblem
from volumelease.bench.transfer import Transfer


def test_no_page_of_a_file_is_constant_or_there_twice(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        lay_out(context, 2)
        pages: list[bytes] = []
        for number in range(2):
            path = Path(context.scratch.path, file_name(number))
            written = context.extents[file_name(number)]
            data = path.read_bytes()[:written]
            assert os.stat(path).st_blocks * 512 >= written
            pages += [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
    assert len(set(pages)) == len(pages)
    assert min(len(set(page)) for page in pages[::64]) > 200


def test_of_one_block_all_but_the_stamp_is_the_same(tmp_path: Path) -> None:
    """What is compared with fio, which writes one block of memory again and again."""
    block = 16 * PAGE
    with context_on(tmp_path) as context:
        lay_out(context, 1)
        (order,) = orders(context, Work("write", 1, block, False), once=True)
        (answer,) = context.engine.run(TRANSFER, [{**order, "one_block": True}]).answers
        written = Path(context.scratch.path, file_name(0)).read_bytes()[: answer["extent"]]
    blocks = [written[at : at + block] for at in range(0, len(written), block)]
    assert len({one[8:] for one in blocks}) == 1
    assert len({one[:8] for one in blocks}) == len(blocks) > 100


def test_each_run_has_other_contents() -> None:
    assert bytes(Contents("one", "f").view) != bytes(Contents("two", "f").view)
    assert bytes(Contents("one", "f").view) == bytes(Contents("one", "f").view)


def test_what_a_block_holds_follows_from_its_offset() -> None:
    contents = Contents("seed", "f")
    contents.turn_to(3, 7)
    period = bytes(contents.view)
    assert contents.same(memoryview(period)[PAGE * 5 : PAGE * 9], 3 * PERIOD + PAGE * 5)
    assert not contents.same(memoryview(period)[PAGE * 5 : PAGE * 9], 4 * PERIOD + PAGE * 5)
    changed = bytearray(period)
    changed[PAGE * 8 + 1000] ^= 1
    assert not contents.same(memoryview(changed)[PAGE * 5 : PAGE * 9], 3 * PERIOD + PAGE * 5)


def test_a_file_with_a_hole_is_not_measured(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        lay_out(context, 1)
        path = Path(context.scratch.path, file_name(0))
        size = path.stat().st_size
        os.truncate(path, 0)
        os.truncate(path, size)
        with pytest.raises(BenchProblem, match="do not hold what was written"):
            verify(context, 1)


@pytest.mark.parametrize("at_random", [False, True])
def test_reading_what_nobody_wrote_is_flagged(tmp_path: Path, at_random: bool) -> None:
    with context_on(tmp_path) as context:
        lay_out(context, 1)
        path = Path(context.scratch.path, file_name(0))
        os.truncate(path, 0)
        os.truncate(path, context.extents[file_name(0)])
        measurement = Measurement("sequential-read", 1, PAGE, False)
        measurement.add(transfer(context, Work("read", 1, PAGE, False, at_random)))
        result = measurement.result(context)
    assert "wrong-data" in result["flags"]
    assert result["verdict"] in ("inconclusive", "not the volume")


def test_reading_what_was_written_is_not_flagged(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        lay_out(context, 2)
        for block in (PAGE, 1 << 20):
            answers = transfer(context, Work("read", 2, block, False, block == PAGE)).answers
            assert [answer["wrong_blocks"] for answer in answers] == [0, 0]
            assert min(answer["operations"] for answer in answers) > 0


def test_random_places_are_all_over_the_file(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        lay_out(context, 1)
        (order,) = orders(context, Work("read", 1, PAGE, False, at_random=True))
    assert order["random"]
    assert order["file_bytes"] == context.extents[file_name(0)] // PERIOD * PERIOD


def test_each_repeat_reads_random_places_in_an_order_of_its_own(tmp_path: Path) -> None:
    with context_on(tmp_path) as context:
        context.extents = {file_name(number): 64 << 20 for number in range(2)}
        work = Work("read", 2, PAGE, False, at_random=True)
        found = [*orders(context, work), *orders(context, work)]
    slot: Any = None
    places = {
        tuple(islice(Transfer(Job(number % 2, slot), order)._offsets(), 50))
        for number, order in enumerate(found)
    }
    assert len(places) == 4
