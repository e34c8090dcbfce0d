"""The table's rules, one by one, in the words of the design."""

from __future__ import annotations

import itertools

import pytest

from tests.core.histories import FACTS
from volumelease.core import records
from volumelease.core.records import Body, Entry
from volumelease.core.table import RECENT_RECORDS, Outcome, Table
from volumelease.model import Claim


class Log:
    """A table and the next index, to write histories by hand."""

    def __init__(self, *sessions: str, grace: bool = False) -> None:
        self.table = Table(grace=grace)
        self.indexes = itertools.count()
        self.last = -1
        for session in sessions:
            self.add(session, records.Open(FACTS))

    def add(self, author: str, body: Body, number: int | None = None) -> Outcome:
        self.last = next(self.indexes)
        number = self.last if number is None else number
        return self.table.apply(self.last, Entry(author, number, 0.0, body))

    def ask(self, author: str, *keys: str, shared: bool = False, owner: str = "o") -> int:
        claims = tuple(Claim(key, key) for key in keys)
        self.add(author, records.Request(claims, not shared, owner))
        return self.last

    def granted(self, token: int) -> bool:
        return self.table.holdings[token].granted


def test_a_session_that_was_never_opened_can_do_nothing() -> None:
    log = Log()
    assert log.add("s", records.Request((Claim("a", "a"),), True, "o")).void
    assert not log.table.holdings
    assert log.table.landed("s", 0) is None


def test_an_ended_session_is_lost_whatever_lands_late() -> None:
    log = Log("s", "t")
    held = log.ask("s", "a")
    assert log.add("t", records.Expire("s")).ended == (held,)
    for body in (
        records.Request((Claim("a", "a"),), True, "o"),
        records.Publish(held, "stage/x", Claim("a", "a")),
        records.Release(held),
        records.Close(),
        records.Expire("t"),
        records.Ready(),
    ):
        assert log.add("s", body).void
    assert set(log.table.sessions) == {"t"}
    assert not log.table.pending


def test_the_same_record_a_second_time_is_void() -> None:
    """A resent commit can land twice, at two indexes."""
    log = Log("s")
    body = records.Request((Claim("a", "a"),), False, "o")
    log.add("s", body, number=70)
    first = log.last
    assert log.add("s", body, number=70).void
    assert list(log.table.holdings) == [first]
    assert log.table.landed("s", 70) == first


def test_a_session_remembers_its_last_records_and_what_became_of_them() -> None:
    log = Log("s")
    log.add("s", records.Release(12345), number=100)
    assert log.table.landed("s", 100) == -1 - log.last
    for number in range(101, 101 + RECENT_RECORDS):
        log.add("s", records.Ready(), number=number)
    assert log.table.landed("s", 100) is None
    assert len(log.table.sessions["s"].recent) == RECENT_RECORDS


def test_a_refused_request_is_remembered_as_void() -> None:
    log = Log("s")
    log.ask("s", "a")
    outcome = log.add("s", records.Request((Claim("a", "a"),), True, "o"), number=99)
    assert outcome.cycle == (1, 2)
    assert log.table.landed("s", 99) == -3


def test_readers_share_and_a_writer_waits_for_all_of_them() -> None:
    log = Log("s", "t", "u")
    readers = [log.ask("s", "a", shared=True), log.ask("t", "a/b", shared=True)]
    writer = log.ask("u", "a")
    assert all(log.granted(reader) for reader in readers)
    assert log.add("s", records.Release(readers[0])).granted == ()
    assert log.add("t", records.Release(readers[1])).granted == (writer,)


def test_a_reader_does_not_pass_a_waiting_writer() -> None:
    log = Log("s", "t", "u")
    log.ask("s", "a", shared=True)
    writer = log.ask("t", "a")
    late = log.ask("u", "a", shared=True)
    assert not log.granted(late)
    assert log.add("t", records.Cancel(writer)).granted == (late,)


def test_several_paths_are_granted_together_or_not_at_all() -> None:
    log = Log("s", "t", "u")
    held = log.ask("s", "a")
    both = log.ask("t", "a", "b")
    third = log.ask("u", "b")
    assert not log.granted(both)
    assert not log.granted(third)
    assert log.add("s", records.Release(held)).granted == (both,)
    assert log.add("t", records.Release(both)).granted == (third,)


def test_the_same_path_twice_in_one_request_is_one_lease() -> None:
    log = Log("s", "t")
    held = log.ask("s", "a", "a", "a/b")
    waiting = log.ask("t", "a/b/c")
    assert log.granted(held)
    assert log.add("s", records.Release(held)).granted == (waiting,)
    log.add("t", records.Close())
    assert len(log.table._index) == 0


def test_a_downgrade_lets_readers_in_up_to_the_next_writer() -> None:
    log = Log("s", "t")
    held = log.ask("s", "a")
    reader = log.ask("t", "a/b", shared=True, owner="1")
    writer = log.ask("t", "a", owner="2")
    late = log.ask("t", "a/c", shared=True, owner="3")
    assert log.add("s", records.Downgrade(held)).granted == (reader,)
    assert log.add("s", records.Downgrade(held)).void
    assert not log.granted(writer)
    assert not log.granted(late)


def test_an_upgrade_is_refused_at_once() -> None:
    log = Log("s")
    log.ask("s", "a", shared=True)
    assert log.add("s", records.Request((Claim("a", "a"),), True, "o")).cycle


def test_owners_of_one_session_exclude_each_other_like_two_hosts() -> None:
    log = Log("s")
    log.ask("s", "a", owner="1")
    second = log.ask("s", "a", owner="2")
    assert not log.granted(second)


def test_two_owners_who_would_wait_for_each_other_are_told() -> None:
    log = Log("s", "t")
    a, b = log.ask("s", "a"), log.ask("t", "b")
    waiting = log.ask("s", "b")
    outcome = log.add("t", records.Request((Claim("a", "a"),), True, "o"))
    assert outcome.cycle == (a, b, log.last)
    assert set(log.table.holdings) == {a, b, waiting}
    assert log.add("t", records.Release(b)).granted == (waiting,)


def test_a_circle_through_a_waiter_in_the_queue_is_found() -> None:
    """t holds nothing but a place in the queue, and s would have to wait behind it."""
    log = Log("s", "t", "u")
    log.ask("u", "b")
    log.ask("s", "a")
    log.ask("t", "a", "b")
    assert log.add("s", records.Request((Claim("b", "b"),), True, "o")).cycle


def test_a_circle_behind_an_older_waiter_for_the_same_path_is_found() -> None:
    """p and q wait in one queue; only p, further back, waits for n too."""
    log = Log("s")
    log.ask("s", "a", owner="holder")
    log.ask("s", "x", owner="p")
    log.ask("s", "y", owner="q")
    log.ask("s", "a", owner="q")
    mine = log.ask("s", "a", owner="n")
    log.ask("s", "a", owner="p")
    both = (Claim("x", "x"), Claim("y", "y"))
    outcome = log.add("s", records.Request(both, True, "n"))
    assert outcome.cycle == (2, mine, log.last)


def test_a_circle_through_a_writer_behind_readers_is_found() -> None:
    """q's reader waits behind p's writer, and only the writer waits for the reader n."""
    log = Log("s")
    mine = log.ask("s", "a", owner="n", shared=True)
    y = log.ask("s", "y", owner="q")
    writer = log.ask("s", "a", owner="p")
    log.ask("s", "a", owner="q", shared=True)
    outcome = log.add("s", records.Request((Claim("y", "y"),), True, "n"))
    assert outcome.cycle == (y, writer, mine, log.last)


def test_nothing_is_granted_in_grace_and_everything_due_at_its_end() -> None:
    log = Log("s", "t", grace=True)
    first, second = log.ask("s", "a"), log.ask("t", "b")
    behind = log.ask("t", "a", owner="2")
    assert not log.granted(first)
    assert log.add("t", records.Publish(second, "x", Claim("b", "b"))).void
    assert log.add("s", records.Ready()).granted == (first, second)
    assert not log.granted(behind)
    assert log.add("s", records.Ready()).void


def test_a_request_may_be_cancelled_but_not_released_before_it_is_granted() -> None:
    log = Log("s", "t")
    held, waiting = log.ask("s", "a"), log.ask("t", "a")
    assert log.add("t", records.Release(waiting)).void
    assert log.add("t", records.Cancel(waiting)).ended == (waiting,)
    assert log.add("s", records.Cancel(held)).ended == (held,)


def test_nobody_lets_go_of_what_another_session_holds() -> None:
    log = Log("s", "t")
    held = log.ask("s", "a")
    for body in (records.Release(held), records.Cancel(held), records.Downgrade(held)):
        assert log.add("t", body).void
    assert log.granted(held)


@pytest.mark.parametrize(
    ("shared", "target", "accepted"),
    [
        (False, "a", True),
        (False, "a/b/c", True),
        (False, "ab", False),
        (False, "", False),
        (True, "a", False),
    ],
)
def test_a_publish_needs_an_exclusive_lease_above_its_target(
    shared: bool, target: str, accepted: bool
) -> None:
    log = Log("s")
    held = log.ask("s", "a", shared=shared)
    outcome = log.add("s", records.Publish(held, "stage/x", Claim(target, target)))
    assert bool(outcome.void) is not accepted
    assert bool(log.table.pending) is accepted


def test_a_publish_waiting_for_its_grant_is_void() -> None:
    log = Log("s", "t")
    log.ask("s", "a")
    waiting = log.ask("t", "a")
    assert log.add("t", records.Publish(waiting, "x", Claim("a", "a"))).void


def test_a_decided_publish_outlives_its_session_and_is_done_by_anybody() -> None:
    log = Log("s", "t")
    held = log.ask("s", "a")
    log.add("s", records.Publish(held, "stage/x", Claim("a", "a")))
    decided = log.last
    log.add("t", records.Expire("s"))
    assert list(log.table.pending) == [decided]
    assert not log.add("t", records.Published(decided)).void
    assert not log.table.pending
    assert log.add("t", records.Published(decided)).void


def test_a_lease_being_broken_publishes_nothing_more_and_stays_until_it_is_broken() -> None:
    log = Log("s", "t")
    held = log.ask("s", "a")
    log.add("s", records.Publish(held, "early", Claim("a", "a")))
    waiting = log.ask("t", "a")
    assert log.add("t", records.Broken(held)).void
    assert not log.add("t", records.Breaking(held, "stuck")).void
    assert log.add("t", records.Breaking(held, "again")).void
    assert log.add("s", records.Publish(held, "late", Claim("a", "a"))).void
    assert not log.granted(waiting)
    assert log.add("t", records.Broken(held)).granted == (waiting,)
    assert [pending.source for pending in log.table.pending.values()] == ["early"]


def test_a_holder_may_let_go_while_its_lease_is_being_broken() -> None:
    log = Log("s", "t")
    held = log.ask("s", "a")
    log.add("t", records.Breaking(held, "stuck"))
    assert log.add("s", records.Release(held)).ended == (held,)
    assert log.add("t", records.Broken(held)).void


def test_a_request_that_waits_cannot_be_broken() -> None:
    log = Log("s", "t")
    log.ask("s", "a")
    waiting = log.ask("t", "a")
    assert log.add("s", records.Breaking(waiting, "why")).void


def test_the_end_of_a_session_ends_all_it_held_and_waited_for() -> None:
    log = Log("s", "t")
    a, b = log.ask("s", "a", owner="1"), log.ask("s", "b", owner="2")
    behind = log.ask("s", "a", owner="3")
    first, second = log.ask("t", "a", owner="1"), log.ask("t", "b", owner="2")
    outcome = log.add("t", records.Expire("s"))
    assert outcome.ended == (a, b, behind)
    assert outcome.granted == (first, second)


def test_electing_a_segment_changes_nothing_in_the_table() -> None:
    log = Log("s")
    held = log.ask("s", "a")
    assert log.add("s", records.Next("1-abc")) == Outcome()
    assert list(log.table.holdings) == [held]
