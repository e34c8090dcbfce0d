"""A snapshot is the table: it reads back equal, goes on equally, or is refused."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.histories import FACTS, History, crowds, histories
from tests.wire import drawn
from volumelease.core import records
from volumelease.core.records import Entry
from volumelease.core.table import Table
from volumelease.model import Claim, Client
from volumelease.wire.entries import decode_entry, encode_entry
from volumelease.wire.snapshots import (
    Header,
    decode_header,
    decode_snapshot,
    digest_of,
    encode_snapshot,
    table_text,
)

SYMLINK_BYTES: Final = 1000


def read_back(targets: list[str]) -> Table | None:
    header = decode_header(targets[0])
    return None if header is None else decode_snapshot(header, targets[1:])


def restored(table: Table) -> Table:
    """The table, by way of a snapshot."""
    targets = encode_snapshot(table, 7)
    copy = read_back(targets)
    assert copy is not None
    assert table_text(copy) == table_text(table)
    header = decode_header(targets[0])
    assert header is not None
    assert (header.segment, header.chunks) == (7, len(targets) - 1)
    assert header.digest == digest_of(table) == digest_of(copy)
    return copy


def busy_table(leases: int = 3) -> Table:
    """Holders, waiters, a publish under way and names of all kinds."""
    table = Table(grace=False)
    table.apply(0, Entry("s", 1, 0.25, records.Open(FACTS)))
    for token in range(1, leases + 1):
        claims = (Claim(f"Dir/\udcff{token}", f"dir/\udcff{token}"), Claim("😀", "😀"))
        body = records.Request(claims, token == 1, f"o{token}", Client(token, 9), '"why"\n')
        table.apply(token, Entry("s", token + 1, 1.5, body))
    publish = records.Publish(1, "stage/x", Claim("😀/a", "😀/a"))
    table.apply(leases + 1, Entry("s", leases + 2, 2.0, publish))
    table.apply(leases + 2, Entry("s", leases + 3, 2.0, records.Breaking(1, "stuck")))
    assert table.pending
    return table


@given(histories() | crowds(), st.integers(0, 50))
@settings(max_examples=200, deadline=None)
def test_a_restored_table_is_equal_and_goes_on_equally(history: History, cut: int) -> None:
    table = Table(grace=history.grace)
    for index, entry in history.steps[:cut]:
        table.apply(index, entry)
    copy = restored(table)
    for index, entry in history.steps[cut:]:
        assert copy.apply(index, entry) == table.apply(index, entry)
        assert table_text(copy) == table_text(table)


@given(histories())
@settings(max_examples=100, deadline=None)
def test_a_replay_from_the_written_log_leads_to_the_same_digest(history: History) -> None:
    """The writer of an entry and its readers, wherever they began, come to one table."""
    written, read = Table(grace=history.grace), Table(grace=history.grace)
    for index, entry in history.steps:
        written.apply(index, entry)
        reread = decode_entry(encode_entry(entry))
        assert reread is not None
        read.apply(index, reread)
        if index % 10 == 9:
            read = restored(read)
    assert digest_of(written) == digest_of(read)


@given(st.lists(drawn.entries, max_size=10))
@settings(max_examples=60, deadline=None)
def test_whatever_a_table_says_comes_back(entries: list[Entry]) -> None:
    table = Table(grace=False)
    for index, entry in enumerate(entries):
        table.apply(2 * index, Entry(entry.author, index, 0.0, records.Open(FACTS)))
        table.apply(2 * index + 1, entry._replace(number=100 + index))
    restored(table)


@pytest.mark.parametrize("leases", [0, 3, 500])
def test_every_target_of_a_snapshot_fits_into_a_symlink(leases: int) -> None:
    table = Table() if leases == 0 else busy_table(leases)
    targets = encode_snapshot(table, 2**40)
    assert len(targets) >= 2
    for target in targets:
        assert 0 < len(target.encode()) < SYMLINK_BYTES
        assert target.isascii()
        assert "/" not in target


def test_a_table_that_remembers_something_else_has_another_digest() -> None:
    """Also where only the past differs: two histories can't go on side by side unseen."""
    one, other = busy_table(), busy_table()
    assert digest_of(one) == digest_of(other)
    other.apply(99, Entry("s", 99, 0.0, records.Release(98)))
    assert digest_of(one) != digest_of(other)


# ---- damage


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_chunks_are_no_table(data: st.DataObject) -> None:
    header, *chunks = encode_snapshot(busy_table(40), 3)
    assert len(chunks) > 1
    damaged = list(chunks)
    at = data.draw(st.integers(0, len(chunks) - 1))
    chunk = chunks[at]
    match data.draw(st.sampled_from(("letter", "cut", "gone", "twice", "swapped", "more", "text"))):
        case "letter":
            place = data.draw(st.integers(0, len(chunk) - 1))
            letter = data.draw(st.characters(min_codepoint=33, max_codepoint=126))
            damaged[at] = chunk[:place] + letter + chunk[place + 1 :]
        case "cut":
            damaged[at] = chunk[: data.draw(st.integers(0, len(chunk) - 1))]
        case "gone":
            del damaged[at]
        case "twice":
            damaged.insert(at, chunk)
        case "swapped":
            damaged[at - 1], damaged[at] = damaged[at], damaged[at - 1]
        case "more":
            damaged.append(data.draw(st.text(max_size=20)))
        case _:
            damaged[at] = data.draw(drawn.texts)
    table = read_back([header, *damaged])
    assert (table is not None) is (damaged == chunks)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_header_promises_nothing(data: st.DataObject) -> None:
    header, *chunks = encode_snapshot(busy_table(), 3)
    damaged = data.draw(drawn.nearly(header))
    table = read_back([damaged, *chunks])
    if table is not None:
        assert table_text(table) == table_text(busy_table())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format":1,"segment":0,"chunks":1}',
        '{"format":true,"segment":0,"chunks":1,"digest":"x"}',
        '{"format":1,"segment":-1,"chunks":1,"digest":"x"}',
        '{"format":1,"segment":0,"chunks":1.0,"digest":"x"}',
        '{"format":1,"segment":0,"chunks":1,"digest":null}',
    ],
)
def test_what_is_no_header_is_refused(text: str) -> None:
    assert decode_header(text) is None


def test_chunks_of_another_table_are_refused() -> None:
    header, *chunks = encode_snapshot(busy_table(3), 3)
    others = encode_snapshot(busy_table(4), 3)[1:]
    assert len(others) == len(chunks)
    assert read_back([header, *others]) is None


def test_nothing_may_follow_the_table() -> None:
    targets = forged(table_text(busy_table()), b"and more")
    assert read_back(targets) is None


# ---- a digest that is right proves where a text comes from, not that it is a table


def forged(text: str, tail: bytes = b"") -> list[str]:
    raw = text.encode()
    packed = base64.b85encode(zlib.compress(raw) + tail).decode()
    digest = hashlib.sha256(raw).hexdigest()
    return [json.dumps({"format": 1, "segment": 1, "chunks": 1, "digest": digest}), packed]


def test_a_forgery_of_the_table_itself_is_the_table() -> None:
    table = read_back(forged(table_text(busy_table())))
    assert table is not None
    assert table_text(table) == table_text(busy_table())


@given(drawn.nearly(table_text(busy_table())))
@settings(max_examples=300, deadline=None)
def test_any_text_with_the_right_digest_is_a_table_or_none(text: str) -> None:
    table = read_back(forged(text))
    assert table is None or table_text(table)


@pytest.mark.parametrize("part", ["sessions", "holdings", "pending"])
@pytest.mark.parametrize("value", [5, "x", None, [], [[]], True])
def test_a_part_that_is_no_object_is_refused(part: str, value: Any) -> None:
    source = json.loads(table_text(busy_table()))
    source[part].append(value)
    assert read_back(forged(json.dumps(source))) is None


def test_a_header_says_what_it_was_given() -> None:
    header = Header(encode_snapshot(Table(), 12)[0])
    assert (header.format, header.segment) == (records.FORMAT_VERSION, 12)
