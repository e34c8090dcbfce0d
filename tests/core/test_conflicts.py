"""The index of conflicts answers as comparing everything with everything would."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.reference import Place, in_conflict, in_the_way, lies_in
from volumelease.core.conflicts import ConflictIndex, ancestors, covers, overlaps

ODD_KEYS = st.sampled_from(
    ("", "a", "ab", "a/b", "/", "/a", "a/", "a//b", "é", "é/\udc80", "a/b/c")
)
KEYS = ODD_KEYS | st.text("ab/", max_size=6)

places = st.tuples(st.lists(KEYS, min_size=1, max_size=3).map(tuple), st.booleans())
steps = st.lists(
    st.tuples(st.sampled_from(("add", "add", "remove", "downgrade")), places, st.integers(0, 9)),
    max_size=25,
)


@pytest.mark.parametrize(
    ("one", "other", "overlapping"),
    [
        ("a", "ab", False),
        ("a", "a/b", True),
        ("a/b", "a/bc", False),
        ("", "a/b/c", True),
        ("", "", True),
        ("a", "b", False),
    ],
)
def test_subtrees_are_compared_by_components(one: str, other: str, overlapping: bool) -> None:
    assert overlaps(one, other) is overlaps(other, one) is overlapping


@given(KEYS, KEYS)
@settings(deadline=None)
def test_the_relations_of_two_keys_agree_with_each_other(one: str, other: str) -> None:
    assert covers(one, other) == (one == other or one in ancestors(other)) == lies_in(other, one)
    assert overlaps(one, other) == (covers(one, other) or covers(other, one))


@given(steps)
@settings(max_examples=300, deadline=None)
def test_the_index_finds_exactly_who_is_in_the_way(
    steps: list[tuple[str, tuple[tuple[str, ...], bool], int]],
) -> None:
    index, queue = ConflictIndex(), list[Place]()
    for token, (step, (keys, exclusive), pick) in enumerate(steps):
        if step == "add":
            index.add(token, keys, exclusive)
            queue.append(Place(token, "s", "o", keys, exclusive))
        elif queue:
            place = queue[pick % len(queue)]
            index.remove(place.token, place.keys, place.exclusive)
            if step == "remove":
                queue.remove(place)
            else:
                place.exclusive = False
                index.add(place.token, place.keys, exclusive=False)
        for place in queue:
            older = {other.token for other in in_the_way(place, queue)}
            younger = {
                other.token
                for other in queue
                if other.token > place.token
                if in_conflict(other, place)
            }
            assert index.blockers(place.token, place.keys, place.exclusive) == older
            assert index.blocked(place.token, place.keys, place.exclusive) == bool(older)
            assert index.affected(place.token, place.keys, place.exclusive) == younger
    for place in queue:
        index.remove(place.token, place.keys, place.exclusive)
    assert len(index) == 0
