"""The cost of an entry follows the depth of its paths, not the number of leases.

Counted in lines of the core that ran, so that no machine's speed is in it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from tests.core.histories import FACTS
from volumelease.core import conflicts, records, table
from volumelease.core.records import Body, Entry
from volumelease.core.table import Table
from volumelease.model import Claim

FEW, MANY = 10, 10_000
SLACK = 10
"""Lines: a long list of a session's last records drops one."""

CORE = frozenset({conflicts.__file__, table.__file__})


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of the core ``work`` runs."""
    count = 0

    def within(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return within

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        return within if frame.f_code.co_filename in CORE else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def request(*keys: str, exclusive: bool = True, owner: str = "o") -> Body:
    return records.Request(tuple(Claim(key, key) for key in keys), exclusive, owner)


class Holders:
    """Sessions ``s`` and ``t``; ``s`` holds that many leases, each on a path of its own."""

    def __init__(self, leases: int, *, exclusive: bool) -> None:
        self.table = Table(grace=False)
        self.next = 0
        for name in ("s", "t"):
            self.apply(name, records.Open(FACTS))
        for number in range(leases):
            self.apply("s", request(f"models/m{number}/x", exclusive=exclusive, owner=f"{number}"))

    def apply(self, author: str, body: Body) -> int:
        index = self.next
        self.next += 1
        self.table.apply(index, Entry(author, index, 0.0, body))
        return index

    def cost(self, author: str, body: Body) -> int:
        return lines_run(lambda: self.apply(author, body))


@pytest.fixture(scope="module", params=[True, False], ids=["exclusive", "shared"])
def fleets(request: pytest.FixtureRequest) -> tuple[Holders, Holders]:
    few, many = (Holders(leases, exclusive=request.param) for leases in (FEW, MANY))
    assert len(many.table.holdings) == MANY
    return few, many


def test_acquiring_a_free_path_costs_the_same(fleets: tuple[Holders, Holders]) -> None:
    few, many = fleets
    free = request("models/new/deep/er", "other")
    assert many.cost("t", free) <= few.cost("t", free) + SLACK
    release = records.Release(many.next - 1), records.Release(few.next - 1)
    assert many.cost("t", release[0]) <= few.cost("t", release[1]) + SLACK


def test_waiting_for_one_holder_costs_the_same(fleets: tuple[Holders, Holders]) -> None:
    few, many = fleets
    taken = request("models/m3/x/y")
    assert many.cost("t", taken) <= few.cost("t", taken) + SLACK
    cancel = records.Cancel(many.next - 1), records.Cancel(few.next - 1)
    assert many.cost("t", cancel[0]) <= few.cost("t", cancel[1]) + SLACK


def test_releasing_and_downgrading_cost_the_same(fleets: tuple[Holders, Holders]) -> None:
    few, many = fleets
    for body in (records.Downgrade(5), records.Release(5)):
        assert many.cost("s", body) <= few.cost("s", body) + SLACK


def test_cost_grows_with_depth_at_most_in_proportion() -> None:
    holders = Holders(FEW, exclusive=True)
    shallow = holders.cost("t", request("/".join("d" * 10)))
    deep = holders.cost("t", request("/".join("e" * 1000)))
    assert deep < 150 * shallow


def test_a_longer_queue_costs_each_of_its_members_no_more() -> None:
    """The first of a queue is compared, not all of it."""
    holders = Holders(1, exclusive=True)
    costs = [
        holders.cost("t", request("models/m0/x", owner=f"waiter {number}")) for number in range(300)
    ]
    assert costs[-1] <= costs[1] + SLACK


def test_a_nested_request_looks_at_each_waiter_of_a_queue_a_few_times() -> None:
    """Its owner holds something already, so it could close a circle through the queue."""
    costs = []
    for waiters in (100, 400):
        holders = Holders(1, exclusive=True)
        for number in range(waiters):
            holders.apply("t", request("models/m0/x", owner=f"waiter {number}"))
        holders.apply("t", request("mine", owner="nested"))
        costs.append(holders.cost("t", request("models/m0/x", owner="nested")))
    assert costs[1] < 5 * costs[0]
