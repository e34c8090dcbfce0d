"""The identity of a volume: read exactly, or not at all."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire import drawn
from volumelease.core.liveness import LEAST_TTL_SECONDS, Timing
from volumelease.core.records import FORMAT_VERSION
from volumelease.wire.identity import Identity, decode_identity, encode_identity

IDENTITY: Final = Identity(FORMAT_VERSION, "0badcafe", "volume", 15.0, 1763931234.125)

first_ones = st.builds(
    lambda *fields: Identity(FORMAT_VERSION, *fields),
    st.text("0123456789abcdef", min_size=1, max_size=64),
    drawn.texts,
    st.floats(LEAST_TTL_SECONDS, 1e9),
    drawn.walls,
)
later_ones = st.builds(
    lambda first, *fields: Identity(*first[:5], *fields),
    first_ones,
    st.integers(1, 2**40),
    st.text("0123456789abcdef", max_size=64),
    st.integers(-1, 2**62),
)
identities = first_ones | later_ones


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(encode_identity(IDENTITY)), **fields})


@given(identities)
def test_an_identity_comes_back(identity: Identity) -> None:
    text = encode_identity(identity)
    assert text.isascii()
    assert repr(decode_identity(text)) == repr(identity)


def test_an_identity_fits_into_a_symlink() -> None:
    assert len(encode_identity(IDENTITY._replace(id="f" * 64))) < 1000


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "a\0",
        "identity",
        "ABCDEF",
        "g",
        "é",
        "\u0663",
        "a b",
        "a" * 65,
        7,
        None,
    ],
)
def test_an_id_that_is_not_only_hexadecimal_is_refused(bad: object) -> None:
    """It becomes a part of every path."""
    assert decode_identity(changed(id=bad)) is None


@pytest.mark.parametrize("bad", ["../..", "a/b", "z", 7, None, "f" * 65])
def test_a_log_that_is_not_only_hexadecimal_is_refused(bad: object) -> None:
    assert decode_identity(changed(era=1, log=bad, above=0)) is None


@pytest.mark.parametrize("bad", [-1, "1", 1.0, True, None])
def test_an_era_that_is_no_number_is_refused(bad: object) -> None:
    assert decode_identity(changed(era=bad, log="", above=0)) is None


@pytest.mark.parametrize(
    "ttl", ["Infinity", "-Infinity", "NaN", "1e999", "0", "-15.0", "1.99", '"15"', "true"]
)
def test_a_ttl_that_protects_nobody_is_refused(ttl: str) -> None:
    assert decode_identity(changed(ttl="@").replace('"@"', ttl)) is None


@given(identities)
def test_every_ttl_that_is_read_gives_times(identity: Identity) -> None:
    read = decode_identity(encode_identity(identity))
    assert read is not None
    assert Timing(read.ttl).standstill > read.ttl


@pytest.mark.parametrize("version", [0, -1, 1.0, "1", True, None])
def test_a_format_that_never_was_is_refused(version: object) -> None:
    assert decode_identity(changed(format=version)) is None


def test_of_a_newer_format_only_its_number_is_read() -> None:
    """Everything else may mean something else by then; it must not look damaged."""
    newer = Identity(FORMAT_VERSION + 1, "", "", 0.0, 0.0)
    assert decode_identity(changed(format=FORMAT_VERSION + 1)) == newer
    assert decode_identity(f'{{"format":{FORMAT_VERSION + 1}}}') == newer
    assert decode_identity(changed(format=FORMAT_VERSION + 1, ttl="often", id=7)) == newer


@pytest.mark.parametrize("field", ["format", "id", "authority", "ttl", "created"])
def test_a_missing_field_is_refused(field: str) -> None:
    source = json.loads(encode_identity(IDENTITY))
    del source[field]
    assert decode_identity(json.dumps(source)) is None


@given(st.text() | drawn.nearly(encode_identity(IDENTITY)))
@settings(max_examples=300, deadline=None)
def test_any_text_is_an_identity_or_none(text: str) -> None:
    identity = decode_identity(text)
    if identity is not None and identity.format == FORMAT_VERSION:
        assert Timing(identity.ttl).margin > 0
        assert identity.id.isalnum()
