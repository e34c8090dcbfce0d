"""Lengths that tell one content from another."""

from __future__ import annotations

from volumelease.wire.entries import INLINE_BYTES
from volumelease.wire.marks import seal, unseal
from volumelease.wire.widths import widen


def test_contents_of_one_length_mostly_get_different_lengths() -> None:
    lengths = [len(seal(7, f"request {number:06}")) for number in range(1000)]
    assert len(set(lengths)) > 500
    assert max(lengths.count(length) for length in set(lengths)) < 20


def test_the_same_content_after_another_history_has_another_length() -> None:
    lengths = {len(seal(mark, "release 17")) for mark in range(1000)}
    assert len(lengths) > 500


def test_what_fits_into_a_symlink_still_does_and_is_read_back() -> None:
    for size in range(0, INLINE_BYTES + 50, 7):
        text = "x" * size
        wide = widen(text, 3)
        assert wide.rstrip(" ") == text
        assert len(wide) <= max(size, INLINE_BYTES)
        assert unseal(5, seal(5, text)) == text
