"""Bugs that the simulator found, each with what brought it out: none may come back."""

from __future__ import annotations

import pytest

from . import search
from .setup import Case

RESENT_ELECTION = [
    Case(21, ("resend",)),
    Case(92, ("resend", "lost")),
    Case(121, ("resend", "lost")),
]
"""A draft's author lost the answer to the election, loaded the new segment's snapshot meanwhile,
found its draft still there through a directory entry a second old, and deleted the live segment."""

LOST_HEARTBEAT = [Case(seed, ("delete",)) for seed in range(5)]
"""A beat that could not make its heartbeat file again ended the thread that beats."""

GIVEN_UP = [Case(20, ("interrupt",)), Case(1, ("interrupt",)), Case(5, ("interrupt", "slow"))]
"""Ctrl-C between the answer and the flow, or a caller that gave up on a call that went on in its
thread, left a granted lease that nobody waited for."""


@pytest.mark.parametrize(
    "case", [*RESENT_ELECTION, *LOST_HEARTBEAT, *GIVEN_UP], ids=lambda case: case.command()
)
def test_what_was_found_stays_fixed(case: Case) -> None:
    assert search.violation_of(case) is None
