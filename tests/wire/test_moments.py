"""Moments by which things are deleted: what is none must not look old."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumelease.wire.moments import decode_moment, encode_moment


@given(st.floats(0, 1e12))
def test_a_moment_comes_back(moment: float) -> None:
    assert decode_moment(encode_moment(moment)) == moment


@pytest.mark.parametrize("text", ["", "-1", "-inf", "inf", "nan", "1e999", "x", "٣", "1" * 40])
def test_what_is_no_moment_is_none(text: str) -> None:
    assert decode_moment(text) is None
