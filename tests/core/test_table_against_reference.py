"""The table grants what a naive model of its rules grants, and keeps what it promises."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings

from tests.core.histories import History, crowds, histories
from tests.core.reference import (
    Did,
    Place,
    Reference,
    components,
    has_cycle,
    in_conflict,
    in_the_way,
    waits_for,
)
from volumelease.core import records
from volumelease.core.records import Entry
from volumelease.core.table import Outcome, Table
from volumelease.model import Claim

few = settings(max_examples=100, deadline=None)
many = settings(max_examples=250, deadline=None)


def did(outcome: Outcome) -> Did:
    return Did(bool(outcome.void), outcome.granted, outcome.ended, bool(outcome.cycle))


def place_of(index: int, author: str, body: records.Request) -> Place:
    keys = tuple(claim.key for claim in body.claims)
    return Place(index, author, body.owner, keys, body.exclusive)


def queue_of(table: Table) -> list[Place]:
    """The table's requests, in its own order, as the reference writes them."""
    return [
        Place(
            token, held.session, held.owner, held.keys, held.exclusive, held.granted, held.breaking
        )
        for token, held in table.holdings.items()
    ]


@given(histories())
@many
def test_every_entry_does_what_the_reference_does(history: History) -> None:
    table, reference = Table(grace=history.grace), Reference(history.grace)
    for index, entry in history.steps:
        assert did(table.apply(index, entry)) == reference.apply(index, entry)
        assert queue_of(table) == reference.queue
        assert set(table.sessions) == set(reference.sessions)
        assert table.grace == reference.grace
        assert [
            (at, p.session, p.token, p.source, p.target.key) for at, p in table.pending.items()
        ] == reference.pending


@given(crowds())
@many
def test_every_circle_of_waiting_owners_is_refused_and_nothing_else(history: History) -> None:
    table, reference = Table(grace=False), Reference(grace=False)
    for index, entry in history.steps:
        queue = queue_of(table)
        outcome = table.apply(index, entry)
        assert did(outcome) == reference.apply(index, entry)
        if outcome.cycle:
            assert isinstance(entry.body, records.Request)
            assert_closes_a_circle(outcome.cycle, place_of(index, entry.author, entry.body), queue)


@given(histories())
@few
def test_the_queue_is_told_as_the_reference_sees_it(history: History) -> None:
    """What waiters are shown, and what a try without waiting is decided by."""
    table, reference = Table(grace=history.grace), Reference(history.grace)
    for index, entry in history.steps:
        table.apply(index, entry)
        reference.apply(index, entry)
    for place in reference.queue:
        told = [held.token for held in table.blockers(table.holdings[place.token])]
        assert told == [other.token for other in in_the_way(place, reference.queue)]
    for key in ("", "a", "a/b", "c"):
        for exclusive in (True, False):
            newcomer = Place(10**6, "s", "o", (key,), exclusive)
            told = [held.token for held in table.in_the_way([Claim(key, key)], exclusive)]
            assert told == [other.token for other in in_the_way(newcomer, reference.queue)]
    for session, recent in reference.sessions.items():
        assert table.tokens_of(session) == [
            place.token for place in reference.queue if place.session == session
        ]
        for number, landed in recent:
            assert table.landed(session, number) == landed
        assert table.landed(session, 10**6) is None


@given(histories())
@many
def test_no_two_conflicting_requests_are_ever_granted_together(history: History) -> None:
    table = Table(grace=history.grace)
    for index, entry in history.steps:
        table.apply(index, entry)
        granted = [place for place in queue_of(table) if place.granted]
        for place in granted:
            assert not any(in_conflict(place, other) for other in granted if other is not place)
        assert not (table.grace and granted)


@given(histories())
@many
def test_nobody_passes_a_waiter_and_no_grant_is_lost(history: History) -> None:
    """Exactly those are granted, outside of grace, that no older request stands in the way of."""
    table = Table(grace=history.grace)
    for index, entry in history.steps:
        table.apply(index, entry)
        queue = queue_of(table)
        for place in queue:
            blocked = bool(in_the_way(place, queue))
            assert place.granted == (not blocked and not table.grace)


@given(histories())
@few
def test_a_token_is_given_out_once_and_only_grows(history: History) -> None:
    table = Table(grace=history.grace)
    last, ever_granted, ever_ended = -1, Counter[int](), Counter[int]()
    for index, entry in history.steps:
        known = set(table.holdings)
        outcome = table.apply(index, entry)
        for token in set(table.holdings) - known:
            assert token == index > last
            last = token
        ever_granted.update(outcome.granted)
        ever_ended.update(outcome.ended)
        assert known - set(table.holdings) == set(outcome.ended)
    assert set(ever_granted.values()) <= {1}
    assert set(ever_ended.values()) <= {1}


@given(histories())
@few
def test_the_conflict_index_keeps_nothing_of_what_ended(history: History) -> None:
    table = Table(grace=history.grace)
    for index, entry in history.steps:
        table.apply(index, entry)
        needed = {
            tuple(components(key)[:depth])
            for held in table.holdings.values()
            for key in held.keys
            for depth in range(len(components(key)) + 1)
        }
        assert len(table._index) == len(needed)
        assert set(table._owners) == {(h.session, h.owner) for h in table.holdings.values()}
    for index, session in enumerate(list(table.sessions), 10**6):
        table.apply(index, Entry(session, 10**6, 0.0, records.Close()))
    assert len(table._index) == 0
    assert not table.holdings
    assert not table._owners


@given(histories())
@few
def test_owners_never_wait_for_each_other_in_a_circle(history: History) -> None:
    table = Table(grace=history.grace)
    for index, entry in history.steps:
        table.apply(index, entry)
        assert not has_cycle(waits_for(queue_of(table)))


@given(histories())
@many
def test_a_request_is_refused_only_for_a_circle_that_it_would_close(history: History) -> None:
    table = Table(grace=history.grace)
    for index, entry in history.steps:
        queue = queue_of(table)
        outcome = table.apply(index, entry)
        if outcome.cycle:
            assert isinstance(entry.body, records.Request)
            assert_closes_a_circle(outcome.cycle, place_of(index, entry.author, entry.body), queue)
            assert queue_of(table) == queue


def assert_closes_a_circle(cycle: tuple[int, ...], refused: Place, queue: list[Place]) -> None:
    """Every token of ``cycle`` is one that the owner of the token before waits for."""
    by_token = {place.token: place for place in [*queue, refused]}
    places = [by_token[token] for token in cycle]
    assert places[-1] is refused
    waiter = refused
    waiting = [refused]
    for place in places[:-1]:
        assert any(place in in_the_way(one, queue) for one in waiting)
        waiter = place
        waiting = [
            other
            for other in queue
            if (other.session, other.owner) == (waiter.session, waiter.owner)
            if not other.granted
        ]
    assert (waiter.session, waiter.owner) == (refused.session, refused.owner)


@given(histories())
@few
def test_what_is_void_changes_nothing(history: History) -> None:
    table = Table(grace=history.grace)
    for index, entry in history.steps:
        before = (queue_of(table), dict(table.pending), list(table.sessions), table.grace)
        outcome = table.apply(index, entry)
        if outcome.void or outcome.cycle:
            assert not outcome.granted
            assert not outcome.ended
            after = (queue_of(table), dict(table.pending), list(table.sessions), table.grace)
            assert after == before
