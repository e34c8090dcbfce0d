"""What is true of every table; and what a table that came from elsewhere can break."""

from __future__ import annotations

from hypothesis import given

from tests.core.histories import FACTS, History, histories
from volumelease.core.invariants import breaches
from volumelease.core.table import Holding, Session, Table
from volumelease.model import Claim


def holding(token: int, path: str, *, granted: bool, breaking: bool = False) -> Holding:
    claims = (Claim(path, path),)
    return Holding(token, "s", "o", claims, True, None, "", 0.0, granted=granted, breaking=breaking)


def table(*holdings: Holding, grace: bool = False) -> Table:
    made = Table(grace=grace)
    made.sessions["s"] = Session(FACTS, 0.0)
    for one in holdings:
        made.restore(one)
    return made


@given(histories())
def test_no_history_leads_to_a_breach(history: History) -> None:
    made = Table(grace=history.grace)
    for index, entry in history.steps:
        made.apply(index, entry)
        assert breaches(made, index + 1) == []
        assert made.breaking == {t for t, held in made.holdings.items() if held.breaking}


def test_each_breach_is_named() -> None:
    both = table(holding(1, "a", granted=True), holding(2, "a/b", granted=True))
    assert breaches(both, 3) == ["token 2 was granted although token 1 conflicts with it"]
    idle = table(holding(1, "a", granted=False))
    assert breaches(idle, 3) == ["token 1 waits with nothing in its way"]
    early = table(holding(1, "a", granted=True), grace=True)
    assert breaches(early, 3) == ["token 1 was granted in the grace of a new log"]
    odd = table(holding(1, "a", granted=True), holding(2, "a", granted=False, breaking=True))
    assert breaches(odd, 3) == ["token 2 is being broken and was never granted"]
    assert breaches(table(holding(5, "a", granted=True)), 5) == ["token 5 was not given out yet"]
    stranger = table(holding(1, "a", granted=True))
    del stranger.sessions["s"]
    assert "which the table does not know" in breaches(stranger, 3)[0]
