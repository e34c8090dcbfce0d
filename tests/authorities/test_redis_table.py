"""The scripts of the Redis authority say what the core's table says, history by history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.authorities.redis_table import RedisTable
from tests.bed.redis import RedisServer, missing_redis
from tests.core.histories import History, crowds, histories
from volumelease.core import records
from volumelease.core.records import Entry
from volumelease.core.table import Outcome, Table

MOST_AHEAD = 8
"""The oldest that are in the way; of more nobody is told."""


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    if reason := missing_redis():
        pytest.skip(reason)
    with RedisServer() as server:
        yield server.url


def replay(url: str, history: History) -> None:
    """Apply the history to both, and compare after every step."""
    table = Table(grace=history.grace)
    other = RedisTable(url, grace=history.grace)
    seen: set[tuple[str, int]] = set()
    try:
        for index, entry in history.steps:
            if (entry.author, entry.number) in seen:
                continue  # the log's own numbering; the scripts have another
            seen.add((entry.author, entry.number))
            outcome = table.apply(index, entry)
            if isinstance(entry.body, records.Moved) and table.pending:
                continue  # a Redis has no publishes that wait for anybody
            reply = other.apply(index, entry)
            if table.moved:
                assert reply == [b"ended", b"redis", b"a log"]
                assert other.sessions() == set()
                return
            compare(table, other, entry, outcome, reply)
    finally:
        other.close()


def compare(
    table: Table, other: RedisTable, entry: Entry, outcome: Outcome, reply: list[Any] | None
) -> None:
    assert other.state() == {
        token: (held.session, held.exclusive, held.granted, held.breaking)
        for token, held in table.holdings.items()
    }, entry
    assert other.sessions() == set(table.sessions), entry
    if reply is None:
        return
    word = reply[0].decode()
    if entry.author not in table.sessions and not outcome.ended:
        assert word in ("unknown", "closed", "expired", "void")
    elif outcome.cycle:
        assert word == "deadlocked"
        assert tuple(map(other.index_of, reply[1])) == outcome.cycle[:-1]
    elif isinstance(entry.body, records.Request):
        assert word == ("granted" if outcome.granted else "waiting")
        if word == "waiting":
            ahead = [other.index_of(one[0]) for one in reply[2]]
            token = max(table.holdings)
            assert ahead == [h.token for h in table.blockers(table.holdings[token])][:MOST_AHEAD]
    elif isinstance(entry.body, records.Release | records.Cancel):
        assert word == ("void" if outcome.void else "released")


@given(histories())
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_scripts_do_what_the_table_does(redis_url: str, history: History) -> None:
    replay(redis_url, history)


@given(crowds())
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_crowds_wait_and_refuse_circles_alike(redis_url: str, history: History) -> None:
    replay(redis_url, history)
