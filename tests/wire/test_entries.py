"""A log entry is exactly one record, or garbage for every reader alike."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.histories import FACTS
from tests.wire import drawn
from volumelease.core import records
from volumelease.core.records import Body, Entry
from volumelease.core.table import Table
from volumelease.model import Claim, Client
from volumelease.wire.entries import (
    INLINE_BYTES,
    decode_entry,
    encode_entry,
    reference_to,
    reference_to_name,
    referenced_file,
)
from volumelease.wire.fields import encode

T = TypeVar("T")

CLAIM: Final = Claim("Models/Ä", "models/ä")
ONE_OF_EACH: Final[tuple[Body, ...]] = (
    records.Open(FACTS),
    records.Request((CLAIM, Claim("b", "b")), True, "owner", Client(4, 5), "why"),
    records.Request((Claim("", ""),), False, ""),
    records.Cancel(0),
    records.Release(1),
    records.Downgrade(2),
    records.Expire("session", "stood still"),
    records.Close(),
    records.Publish(3, "stage/x", CLAIM),
    records.Published(4),
    records.Published(4, "ENOTDIR"),
    records.Breaking(5, "stuck"),
    records.Broken(6),
    records.Ready(),
    records.Moved("redis"),
    records.Next("1-abc"),
)
CLOSE: Final = '{"k":"close","s":"a","n":1,"w":0.0}'


def with_more(value: str) -> str:
    """``CLOSE`` with a key more, which nobody knows."""
    return CLOSE.replace("}", f',"x":{value}}}')


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def assert_comes_back(entry: Entry) -> None:
    """Exactly: a writer applies its entry as all readers do. Not by ``==`` alone, to which one
    tuple is as good as another."""
    text = encode_entry(entry)
    assert text.isascii()
    assert "\n" not in text
    assert "\0" not in text
    assert repr(decode_entry(text)) == repr(entry)


def test_there_is_an_example_of_each_kind() -> None:
    assert {type(body) for body in ONE_OF_EACH} == set(get_args(Body))


@pytest.mark.parametrize("body", ONE_OF_EACH, ids=lambda body: type(body).__name__)
def test_every_kind_of_record_comes_back(body: Body) -> None:
    assert_comes_back(Entry("author", 7, 1763931234.125, body))


@given(drawn.entries)
@settings(max_examples=300, deadline=None)
def test_whatever_a_record_says_comes_back(entry: Entry) -> None:
    assert_comes_back(entry)


@pytest.mark.parametrize(
    "path",
    [
        "\udcff\udc80",
        "a\"b\\c'd",
        "line\nbreak\r\0",
        "😀/é/e\u0301/\u2028",
        "😀\udc80",
        "é" * 2000 + "/" + "x" * 1999,
        "\udcff" * 4000,
    ],
    ids=["bytes", "quotes", "lines", "emoji", "emoji-and-byte", "long", "long-bytes"],
)
def test_a_path_of_any_characters_comes_back(path: str) -> None:
    assert_comes_back(Entry("s", 1, 0.0, records.Request((Claim(path, path),), True, "o")))
    name = path.replace("\0", "")
    assert_comes_back(Entry("s", 1, 0.0, records.Publish(1, "stage/x", Claim(name, "key"))))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("x", "a"),
        ("stage/x", "a\0b"),
        ("stage/x\0", "a"),
        ("stage/x", "a\ud800"),
        ("stage", "a"),
        ("stage/../../x", "a"),
        ("stage/a/b/c", "a"),
        ("/stage/x", "a"),
        ("stage/x", ""),
        ("stage/x", "../a"),
        ("stage/x", "a//b"),
    ],
)
def test_a_publish_that_would_rename_anything_else_is_no_record(source: str, target: str) -> None:
    body = records.Publish(1, source, Claim(target, "key"))
    assert decode_entry(encode_entry(Entry("s", 1, 0.0, body))) is None


def test_halves_of_a_character_come_back_whole_and_stay_so() -> None:
    """Hence a writer applies what it wrote as it reads it, not what it meant."""
    entry = Entry("s", 1, 0.0, records.Breaking(1, "\ud83d" + "\ude00"))
    read = decode_entry(encode_entry(entry))
    assert read == Entry("s", 1, 0.0, records.Breaking(1, "\U0001f600"))
    assert_comes_back(read)


# ---- records that are too long for a symlink


def test_an_everyday_record_fits_into_a_symlink() -> None:
    path = "models/" + "x" * 300
    body = records.Request((Claim(path, path),), True, "12345:67890", Client(1, 2), "fine-tuning")
    assert len(encode_entry(Entry("0123456789abcdef", 1, 1e9, body))) <= INLINE_BYTES


@given(drawn.entries)
@settings(max_examples=50, deadline=None)
def test_a_long_record_is_named_by_an_entry_that_is_no_record(entry: Entry) -> None:
    target = reference_to(encode_entry(entry))
    name = referenced_file(target)
    assert name is not None
    assert reference_to_name(name) == target
    assert len(target) <= INLINE_BYTES
    assert decode_entry(target) is None
    assert referenced_file(encode_entry(entry)) is None


def test_different_records_have_different_names() -> None:
    assert reference_to(CLOSE) != reference_to(CLOSE.replace("1", "2"))


@pytest.mark.parametrize(
    "target",
    [
        "",
        "@",
        "@" + "0" * 63,
        "@" + "0" * 65,
        "@" + "A" * 64,
        "@" + "/" * 64,
        "@" + "\u0660" * 64,
        "@@" + "0" * 63,
        "@../" + "0" * 61,
        "0" * 65,
    ],
)
def test_only_a_digest_names_a_file(target: str) -> None:
    assert referenced_file(target) is None


# ---- garbage


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_record_or_garbage(text: str) -> None:
    assert_record_or_garbage(text)


@given(drawn.values.map(repr) | drawn.raw_values)
@settings(max_examples=100, deadline=None)
def test_any_value_is_a_record_or_garbage(text: str) -> None:
    assert_record_or_garbage(text)


@given(
    st.sampled_from(ONE_OF_EACH).flatmap(
        lambda b: drawn.nearly(encode_entry(Entry("s", 9, 1.0, b)))
    )
)
@settings(max_examples=600, deadline=None)
def test_a_damaged_record_is_a_record_or_garbage(text: str) -> None:
    assert_record_or_garbage(text)


def assert_record_or_garbage(text: str) -> None:
    """And a record that any reader takes, it can write again, and the table can apply."""
    entry = decode_entry(text)
    if entry is None:
        return
    assert_comes_back(entry)
    table = Table(grace=False)
    table.apply(0, Entry(entry.author, entry.number + 1, 0.0, records.Open(FACTS)))
    table.apply(1, entry)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        CLOSE[:-1],
        CLOSE + CLOSE,
        CLOSE + "x",
        "\ufeff" + CLOSE,
        CLOSE.replace("close", "closed"),
        CLOSE.replace('"close"', "null"),
        CLOSE.replace('"close"', '["close"]'),
        CLOSE.replace('"a"', "1"),
        CLOSE.replace('"a"', '"é"'),
        CLOSE.replace("1", "true"),
        CLOSE.replace("1", "-1"),
        CLOSE.replace("1", "1.0"),
        CLOSE.replace("1", "null"),
        CLOSE.replace("1", "9" * 20),
        CLOSE.replace("1", "9" * 5000),
        CLOSE.replace("0.0", "1e999"),
        CLOSE.replace("0.0", "-1e999"),
        CLOSE.replace("0.0", "NaN"),
        CLOSE.replace("0.0", "Infinity"),
        CLOSE.replace("0.0", "true"),
        CLOSE.replace("0.0", '"0"'),
        CLOSE.replace("0.0", "1" * 400),
        with_more("NaN"),
        with_more("9" * 30),
        with_more(nested(8)),
        with_more(nested(100_000)),
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_what_is_no_whole_record_is_garbage(text: str) -> None:
    assert decode_entry(text) is None


@pytest.mark.parametrize(
    "fields",
    [
        '"k":"request","p":[],"x":true,"o":"o"',
        '"k":"request","p":[[]],"x":true,"o":"o"',
        '"k":"request","p":["a"],"x":true,"o":"o"',
        '"k":"request","p":[["a","b","c"]],"x":true,"o":"o"',
        '"k":"request","p":[["a",null]],"x":true,"o":"o"',
        '"k":"request","p":[["a"]],"x":1,"o":"o"',
        '"k":"request","p":[["a"]],"x":true,"o":null',
        '"k":"request","p":[["a"]],"x":true,"o":"o","c":[1]',
        '"k":"request","p":[["a"]],"x":true,"o":"o","c":[true,2]',
        '"k":"request","p":[["a"]],"x":true,"o":"o","c":[1.0,2]',
        '"k":"request","p":[["a"]],"x":true,"o":"o","r":null',
        '"k":"open","f":{"p":["h","b",1,1,true],"e":"","w":"","d":"","v":""}',
        '"k":"open","f":{"p":["h","b",1,1],"e":"","w":"","d":"","v":""}',
        '"k":"open","f":{"p":["h","b",1,1,1],"e":"","w":"","d":""}',
        '"k":"open","f":[]',
        '"k":"publish","t":1,"from":"s","to":[["a"],["b"]]',
        '"k":"publish","t":1,"from":"s","to":[]',
        '"k":"release","t":"1"',
        '"k":"release","t":false',
        '"k":"release"',
    ],
)
def test_a_field_of_another_type_makes_it_garbage(fields: str) -> None:
    assert decode_entry('{"s":"a","n":1,"w":0,' + fields + "}") is None


def test_the_last_of_two_equal_keys_and_no_unknown_key_counts() -> None:
    """For every reader alike; what is written has neither."""
    assert decode_entry(CLOSE.replace("}", ',"n":5,"later":{"than":["this"]}}')) == Entry(
        "a", 5, 0.0, records.Close()
    )


# ---- nothing of the reading process has a say in the verdict


BRACKETS_IN_TEXT: Final = CLOSE.replace('"a"', '"\\\\\\"[[[[[[[[[[[[[[[["')


@pytest.mark.parametrize(
    ("text", "is_record"),
    [
        (CLOSE, True),
        (BRACKETS_IN_TEXT, True),
        (encode_entry(Entry("s", 1, 0.0, ONE_OF_EACH[0])), True),
        (with_more(nested(300)), False),
        ("[" * 300, False),
    ],
    ids=["record", "brackets-in-text", "open", "too-deep", "unclosed"],
)
def test_the_verdict_does_not_depend_on_how_deep_the_reader_is(text: str, is_record: bool) -> None:
    """A reader that ran out of stack may fail, but must not call a good record garbage."""
    depth = 0
    while True:
        try:
            verdict = at_depth(depth, lambda: decode_entry(text))
        except RecursionError:
            break
        assert (verdict is not None) is is_record, f"at depth {depth}"
        depth += 1 if depth > 700 else 100
    assert depth > 700


def at_depth(depth: int, work: Callable[[], T]) -> T:
    return work() if depth == 0 else at_depth(depth - 1, work)


@pytest.mark.parametrize("digits", [640, 4300, 0])
@pytest.mark.parametrize("field", ["n", "x"])
def test_the_verdict_does_not_depend_on_the_limit_of_digits(digits: int, field: str) -> None:
    with digits_limited_to(digits):
        for length in (1000, 5000):
            text = CLOSE.replace("1", "9" * length) if field == "n" else with_more("9" * length)
            assert decode_entry(text) is None


@contextmanager
def digits_limited_to(digits: int) -> Iterator[None]:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(digits)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_the_verdict_does_not_depend_on_the_encoding_of_file_names(encoding: str) -> None:
    for raw in (CLOSE.replace('"a"', '"é"'), CLOSE.replace("}", ',"é":1}')):
        assert decode_entry(raw.encode().decode(encoding, "surrogateescape")) is None


def test_the_prepared_encoder_writes_what_the_standard_one_writes() -> None:
    standard = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
    for value in (
        {"k": "request", "w": 1.5, "p": [["a/\udc80", "é"]], "x": True, "n": 10**15},
        {"k": "", "r": '"\\\n\x7f', "none": None, "nested": {"p": [1, 2.25]}},
    ):
        assert encode(value) == standard.encode(value)
    with pytest.raises(ValueError, match="JSON compliant"):
        encode({"w": float("nan")})
