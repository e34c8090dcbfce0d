"""When a waiter reads the log next."""

from __future__ import annotations

import pytest

from volumelease.authorities.volume.attending import (
    ARMED_POLL_SECONDS,
    CALLS_A_SECOND,
    FREE_RINGS,
    IN_VAIN_SECONDS,
    POLL_SECONDS,
    Pace,
)


def reads_in(seconds: float, *, armed: bool, looks: float) -> int:
    """How often the log is read in so long a steady wait."""
    pace, now, reads = Pace(0.0), 0.0, 0
    pace.expect([7], ("s",), now)
    while now < seconds:
        reads += 1
        pace.looked(now, armed, looks)
        now = pace.read_at
    return reads


@pytest.mark.parametrize("looks", [0.0, 4.0, 16.0])
def test_without_a_bell_reads_and_looks_keep_their_budget(looks: float) -> None:
    first_ones = reads_in(0.1, armed=False, looks=looks)  # a wait begins with some short pauses
    later = reads_in(10.1, armed=False, looks=looks) - first_ones
    assert later / 10 + looks <= CALLS_A_SECOND
    assert first_ones <= 8


def test_without_a_bell_a_steady_poll_is_short() -> None:
    assert reads_in(10.0, armed=False, looks=4.0) >= 9.5 / POLL_SECONDS


def test_with_a_bell_the_log_is_read_seldom_but_not_never() -> None:
    assert 9.0 / ARMED_POLL_SECONDS <= reads_in(10.0, armed=True, looks=4.0) <= 30


def test_another_session_ahead_is_a_reason_to_read_soon() -> None:
    pace = Pace(0.0)
    for now in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0):
        pace.expect([7], ("s",), now)
        pace.looked(now, True, 0.0)
    assert pace.read_at >= 9.4
    pace.expect([7], ("t",), 9.1)
    assert pace.read_at <= 9.11


def test_a_ring_is_followed_at_once_and_many_in_vain_are_not() -> None:
    pace = Pace(0.0)
    pace.expect([7], ("s",), 0.0)
    assert [pace.rung(1.0) for _ in range(FREE_RINGS)] == [0.0] * FREE_RINGS
    assert pace.rung(1.0) == IN_VAIN_SECONDS


def test_a_ring_that_brought_a_grant_was_not_in_vain() -> None:
    """One and the same neighbour rings for one request after the other."""
    pace = Pace(0.0)
    for token in range(20):
        pace.expect([token], ("s",), float(token))
        assert pace.rung(float(token)) == 0.0
