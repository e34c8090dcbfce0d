"""The running mark in front of every entry."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumelease.wire.marks import MARK_LETTERS, begin, follow, seal, unseal

targets = st.lists(st.text(st.characters(max_codepoint=127), max_size=20), max_size=6)


def mark_after(history: list[str]) -> int:
    mark = begin("1-a", "d")
    for target in history:
        mark = follow(mark, target)
    return mark


@given(targets, st.text(max_size=30))
def test_what_is_sealed_is_read_by_whoever_read_the_same(history: list[str], text: str) -> None:
    target = seal(mark_after(history), text)
    assert unseal(mark_after(list(history)), target) == text.rstrip(" ")
    assert target[MARK_LETTERS:].startswith(text)


@given(targets, targets)
def test_who_read_something_else_finds_nothing(one: list[str], other: list[str]) -> None:
    read = unseal(mark_after(one), seal(mark_after(other), "text"))
    assert (read == "text") == ([*one] == [*other])


@pytest.mark.parametrize("target", ["", "0", "00000000"[:-1], "{}", "é" * 9, "\udc80" * 9])
def test_a_text_without_a_mark_says_nothing(target: str) -> None:
    assert unseal(0, target) is None


def test_the_ends_of_entries_count() -> None:
    assert mark_after(["ab", "c"]) != mark_after(["a", "bc"])
    assert mark_after([]) != mark_after([""])


def test_what_a_process_may_decode_in_its_own_way_does_not_count() -> None:
    """A name that is no UTF-8 reads as other letters where another encoding is set."""
    assert follow(7, "\udcff") == follow(7, "ÿ") == follow(7, "")


def test_each_segment_begins_in_its_own_way() -> None:
    assert len({begin("1-a", "d"), begin("1-b", "d"), begin("1-a", "e")}) == 3
