"""The scripts of the Redis authority, call by call: numbers, grace, reclaim, expiry, leftovers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.authorities.redis_table import RedisTable
from tests.bed.redis import RedisServer
from volumelease.authorities.redis.calling import state_key
from volumelease.authorities.redis.tokens import incarnation_of, name_of, token_of
from volumelease.bells.pubsub import channel_of
from volumelease.effects import CallScript


class Caller:
    """One session that keeps to its incarnation, as a worker does."""

    def __init__(self, table: RedisTable, name: str) -> None:
        self.table = table
        self.name = name
        self.call("open", "", 1)

    def call(self, script: str, *arguments: Any) -> list[Any]:
        return self.table.call(self.name, script, *arguments)

    def acquire(self, number: int, key: str, *, wait: int = 1, exclusive: int = 1) -> list[Any]:
        return self.call("acquire", number, wait, exclusive, f"o{number}", key, "", "")

    def release(self, number: int, floor: int | None = None) -> list[Any]:
        return self.call("release", number, number + 1 if floor is None else floor, 1)

    def beat(self, counter: int, floor: int = 1) -> list[Any]:
        return self.call("beat", counter, floor, 8)

    def reclaim(self, number: int, token: bytes, key: str, *, granted: str = "1") -> list[Any]:
        one = (number, token, 1, granted, f"o{number}", key, "", "1", "")
        return self.call("reclaim", "", 2, number + 1, *one)


@pytest.fixture
def table(redis_server: RedisServer) -> Iterator[RedisTable]:
    table = RedisTable(redis_server.url, grace=False)
    yield table
    table.close()


def forget(table: RedisTable, server: RedisServer) -> None:
    """The server loses its memory; the table's sessions get to know the new incarnation."""
    server.kill()
    server.start()
    table.close()
    old = table.incarnation
    reply = table.call("anybody", "look", 0)
    assert reply[0] == b"incarnation"
    table.incarnation = int(reply[1])
    table.nonce = reply[2].decode()
    assert table.incarnation > old


# ---- numbers


def test_the_same_number_asked_again_is_the_same_request(table: RedisTable) -> None:
    one, other = Caller(table, "s0"), Caller(table, "s1")
    granted = one.acquire(1, "a")
    assert granted[0] == b"granted"
    assert one.acquire(1, "a") == granted
    waiting = other.acquire(1, "a")
    assert waiting[0] == b"waiting"
    assert other.acquire(1, "a")[:2] == waiting[:2]
    assert len(table.picture()[4]) == 2


@pytest.mark.parametrize("floor", [0, 2, 9])
def test_a_finished_number_is_refused(table: RedisTable, floor: int) -> None:
    """A copy of an acquire that was long on its way must not be granted to nobody."""
    one = Caller(table, "s0")
    one.acquire(1, "a")
    assert one.release(1, floor)[0] == b"released"
    assert one.acquire(1, "a") == [b"finished"]
    one.beat(2, 9)
    assert one.acquire(1, "a") == [b"finished"]
    assert one.acquire(9, "a")[0] == b"granted"


def test_a_release_that_overtakes_its_acquire_finishes_the_number(table: RedisTable) -> None:
    one = Caller(table, "s0")
    assert one.release(1, 1)[0] == b"void"
    assert one.acquire(1, "a") == [b"finished"]


def test_a_number_that_was_refused_is_finished(table: RedisTable) -> None:
    one, other = Caller(table, "s0"), Caller(table, "s1")
    one.acquire(1, "a")
    assert other.acquire(1, "a", wait=0)[0] == b"busy"
    one.release(1)
    assert other.acquire(1, "a", wait=0) == [b"finished"]


def test_a_session_that_is_not_there_is_lost_and_never_new(table: RedisTable) -> None:
    one = Caller(table, "s0")
    one.call("close")
    for reply in (one.acquire(1, "a"), one.beat(3), one.release(1), one.call("look", 0, 1)):
        assert reply == [b"unknown"]
    assert one.reclaim(1, name_of(2**32 + 1).encode(), "a") == [b"unknown"]


@pytest.mark.parametrize("asked", ["a", "a/b", "a\0c"])
def test_who_is_granted_something_by_a_release_is_rung_for(
    table: RedisTable, redis_server: RedisServer, asked: str
) -> None:
    import redis

    one, other = Caller(table, "s0"), Caller(table, "s1")
    client = redis.Redis.from_url(redis_server.url)
    ear: Any = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call] # it has no types
    ear.subscribe(channel_of(table.volume))
    one.acquire(1, "a")
    other.acquire(1, asked)
    mine = one.acquire(2, "a")[1]
    assert one.release(1)[:2] == [b"released", []]
    heard = [ear.get_message(timeout=2.0) for _ in range(2)]
    assert [told["data"] for told in heard if told] == [b"s1"]
    assert other.release(1)[:2] == [b"released", []]
    assert one.release(2)[0] == b"released"
    one.acquire(3, asked)
    waits = one.acquire(4, asked)[1]
    assert waits > mine
    assert one.release(3)[:2] == [b"released", [waits]]
    client.close()


# ---- a session that stands still


def test_only_a_counter_that_still_stands_is_expired(table: RedisTable) -> None:
    one, other = Caller(table, "s0"), Caller(table, "s1")
    one.acquire(1, "a")
    one.beat(5)
    other.acquire(1, "a")
    assert other.call("expire", "s0", 4)[0] == b"void"
    one.beat(4)  # a beat that was overtaken by a later one
    assert other.call("expire", "s0", 5)[0] == b"expired"
    assert table.sessions() == {"s1"}
    assert other.acquire(1, "a")[0] == b"granted"


def test_a_beat_tells_of_what_others_did(table: RedisTable) -> None:
    one, other = Caller(table, "s0"), Caller(table, "s1")
    token = one.acquire(1, "a")[1]
    _, grace, count, touched, marked, ring, _ = one.beat(2)
    assert (grace, count, touched, marked, ring) == (b"", 1, b"0", [], [b"s1", b"1"])
    assert other.call("break", token, "mark", " by me")[0] == b"marked"
    assert one.beat(3)[3:5] == [b"1", [token]]
    assert one.call("inspect")[2] == [[b"1", token, b"1", b"1", b" by me"]]
    assert other.call("break", token, "end", "")[0] == b"broken"
    assert one.beat(4)[2:5] == [0, b"2", []]
    assert one.acquire(1, "a") == [b"finished"]


# ---- another authority


def test_only_who_holds_the_whole_volume_can_end_the_table(table: RedisTable) -> None:
    one, other = Caller(table, "s0"), Caller(table, "s1")
    one.acquire(1, "a")
    other.acquire(1, "")
    for caller in (one, other):
        assert caller.call("move", 1, "volume", "first") == [b"void"]
    one.release(1)
    assert one.call("move", 1, "volume", "first") == [b"void"]
    other.call("break", other.acquire(1, "")[1], "mark", " by me")
    assert other.call("move", 1, "volume", "first") == [b"void"]
    other.release(1)
    one.acquire(2, "", exclusive=0)
    assert one.call("move", 2, "volume", "first") == [b"void"]
    one.release(2)
    one.acquire(3, "")
    assert one.call("move", 3, "volume", "first") == [b"ended", b"volume", b"first"]


@pytest.mark.parametrize("keys", ["\0", "a\0", "\0a", "a\0\0b"])
def test_who_holds_the_whole_volume_among_other_paths_can_end_the_table_too(
    table: RedisTable, keys: str
) -> None:
    one = Caller(table, "s0")
    one.acquire(1, "a\0b")
    assert one.call("move", 1, "volume", "first") == [b"void"]
    one.release(1)
    one.acquire(2, keys)
    assert one.call("move", 2, "volume", "first") == [b"ended", b"volume", b"first"]


def test_a_table_that_ended_says_what_follows_to_everybody(table: RedisTable) -> None:
    one, other = Caller(table, "s0"), Caller(table, "s1")
    one.acquire(1, "")
    ended = [b"ended", b"volume", b"first"]
    assert one.call("move", 1, "volume", "first") == ended
    assert one.call("move", 1, "volume", "second") == ended
    for reply in (other.acquire(1, "a"), other.release(1), other.beat(2), other.call("close")):
        assert reply == ended
    assert table.call("s2", "open", "", 1) == ended
    assert table.call("s2", "moved")[1:] == [str(table.incarnation).encode(), *ended[1:], b""]
    table.incarnation += 1  # named by an identity that moved the leases back
    assert table.call("s2", "open", "", 1)[0] == b"incarnation"


# ---- amnesia


def test_a_server_that_forgot_begins_a_grace_in_which_nothing_new_is_granted(
    table: RedisTable, redis_server: RedisServer
) -> None:
    one = Caller(table, "s0")
    token = one.acquire(1, "a")[1]
    forget(table, redis_server)
    late = Caller(table, "s9")
    assert late.acquire(1, "b")[0] == b"waiting"
    assert late.acquire(2, "b", wait=0)[0] == b"busy"
    assert one.reclaim(1, token, "a") == [b"reclaimed", table.nonce.encode(), []]
    assert one.reclaim(1, token, "a") == [b"reclaimed", table.nonce.encode(), []]
    assert late.call("ready", "another nonce")[0] == b"void"
    reply = late.call("ready", table.nonce)
    assert reply[0] == b"ready"
    assert len(reply[1]) == 1
    assert late.acquire(3, "a")[0] == b"waiting"
    assert one.acquire(1, "a")[:2] == [b"granted", token]


def test_a_flush_is_noticed_too(table: RedisTable, redis_server: RedisServer) -> None:
    import redis

    one = Caller(table, "s0")
    one.acquire(1, "a")
    client = redis.Redis.from_url(redis_server.url)
    client.flushall()
    client.close()
    reply = one.beat(2)
    assert reply[0] == b"incarnation"
    assert int(reply[1]) > table.incarnation
    assert reply[2]


def test_a_caller_that_names_a_higher_incarnation_knows_better(table: RedisTable) -> None:
    """What a lagging replica never heard of."""
    one = Caller(table, "s0")
    one.acquire(1, "a")
    table.incarnation += 5
    named = table.incarnation
    reply = one.beat(2)
    assert reply[0] == b"incarnation"
    assert int(reply[1]) == named + 1
    table.incarnation = int(reply[1])
    assert table.state() == {}
    assert table.sessions() == set()


def test_a_restored_memory_is_dropped(tmp_path: object, redis_server: RedisServer) -> None:
    """What lies in the server may be older than what it granted since."""
    import redis

    table = RedisTable(redis_server.url, grace=False)
    one = Caller(table, "s0")
    one.acquire(1, "a/b")
    client = redis.Redis.from_url(redis_server.url)
    key = client.keys("*:state")[0]
    client.hset(key, "life", "of another one")
    assert one.acquire(2, "c")[0] == b"incarnation"
    assert sorted(client.keys("*")) == [key]
    client.close()
    table.close()


@pytest.mark.parametrize("asked", ["a", "a/b"])
def test_a_restored_memory_lets_nobody_go_ahead(
    table: RedisTable, redis_server: RedisServer, asked: str
) -> None:
    import redis

    one, other = Caller(table, "s0"), Caller(table, "s1")
    one.acquire(1, "a")
    other.acquire(1, asked)
    client = redis.Redis.from_url(redis_server.url)
    client.hset(f"{{volumelease:{table.volume}}}:state", "life", "of another one")
    assert one.release(1)[0] == b"incarnation"
    client.close()


def test_of_two_that_conflict_the_larger_token_wins(
    table: RedisTable, redis_server: RedisServer
) -> None:
    names = [name_of(table.incarnation * 2**32 + number).encode() for number in (7, 8, 9)]
    one, other, third = (Caller(table, f"s{number}") for number in range(3))
    forget(table, redis_server)
    assert one.reclaim(1, names[0], "a")[2] == []
    assert other.reclaim(1, names[1], "a/b")[2] == []
    assert third.reclaim(1, names[0], "a/b/c")[2] == [b"1"]
    assert one.beat(3)[2:4] == [0, b"1"]
    assert other.beat(3)[2:4] == [1, b"0"]
    assert one.reclaim(1, names[2], "a")[2] == [b"1"], "a copy of a reclaim that lost"


def test_nobody_waits_in_front_of_a_lease_that_was_granted(
    table: RedisTable, redis_server: RedisServer
) -> None:
    """At the end of the grace the older waiter would be granted beside it."""
    older, younger = (name_of(table.incarnation * 2**32 + n).encode() for n in (7, 8))
    one, other = Caller(table, "s0"), Caller(table, "s1")
    forget(table, redis_server)
    assert one.reclaim(1, older, "a", granted="")[2] == []
    assert other.reclaim(1, younger, "a")[2] == []
    assert one.reclaim(2, older, "a", granted="")[2] == [b"2"]
    other.call("ready", table.nonce)
    assert [(session, granted) for session, _, granted, _ in table_state(table)] == [("s1", True)]


def table_state(table: RedisTable) -> list[tuple[str, bool, bool, bool]]:
    return [
        (session.decode(), x == b"1", granted != b"", by != b"")
        for _, session, x, granted, _, _, by, _ in table.picture()[4]
    ]


def test_a_late_copy_of_a_reclaim_brings_nothing_back(
    table: RedisTable, redis_server: RedisServer
) -> None:
    one = Caller(table, "s0")
    token = one.acquire(1, "a")[1]
    forget(table, redis_server)
    one.reclaim(1, token, "a")
    assert one.release(1, 5)[0] == b"released"
    one.beat(3, 5)
    assert one.reclaim(1, token, "a")[2] == [b"1"]
    assert one.beat(4, 5)[2] == 0


def test_after_the_grace_nothing_can_be_reclaimed(
    table: RedisTable, redis_server: RedisServer
) -> None:
    one = Caller(table, "s0")
    token = one.acquire(1, "a")[1]
    forget(table, redis_server)
    other = Caller(table, "s1")
    other.call("ready", table.nonce)
    assert one.reclaim(1, token, "a") == [b"unknown"]
    assert other.reclaim(7, token, "a")[2] == [b"7"]


def test_two_memories_that_came_to_one_number_are_told_apart(
    table: RedisTable, redis_server: RedisServer
) -> None:
    """Flushed twice, and the second time somebody calls first who knows of neither."""
    import redis

    client = redis.Redis.from_url(redis_server.url)
    Caller(table, "s0")
    ahead = table.incarnation + 10**6  # as when a clock was set back

    def called(named: int | str, script: str, *arguments: Any) -> list[Any]:
        head = (named, f"nonce of {named}", "s0", "1")
        reply: list[Any] = table._scripts.perform(
            CallScript(script, state_key(table.volume), (*head, *arguments))
        )
        return reply

    memories = []
    for named in (ahead, f"{ahead} an older one"):
        client.flushall()
        word, incarnation, _, nonce = called(named, "look", 0)
        assert (word, int(incarnation)) == (b"incarnation", ahead + 1)
        memories.append(f"{int(incarnation)} {nonce.decode()}")
    client.close()
    first, second = memories
    assert first != second
    assert called(second, "reclaim", "", 2, 1)[0] == b"reclaimed"
    word, incarnation, grace, _ = called(first, "look", 0)
    assert (word, int(incarnation)) == (b"incarnation", ahead + 2)
    assert grace, "who holds names it again"
    assert called(second, "look", 0)[0] == b"incarnation"


def test_a_token_that_two_were_given_is_reclaimed_once(
    table: RedisTable, redis_server: RedisServer
) -> None:
    """By two memories of one number, one after the other, while both were in their grace."""
    one, other = Caller(table, "s0"), Caller(table, "s1")
    token = name_of(table.incarnation * 2**32 + 7).encode()
    forget(table, redis_server)
    assert one.reclaim(1, token, "a", granted="")[2] == []
    assert other.reclaim(1, token, "b", granted="")[2] == [b"1"]
    assert one.release(1)[0] == b"released"
    assert table.picture()[4] == []


def test_a_release_finds_its_session_lost_only_by_a_memory_that_is_not_old(
    table: RedisTable, redis_server: RedisServer
) -> None:
    """The session was opened in the tail that a server lost when it ended."""
    import redis

    client = redis.Redis.from_url(redis_server.url)
    one, other = Caller(table, "s0"), Caller(table, "s1")
    one.acquire(1, "a")
    other.call("close")
    assert other.release(1) == [b"unknown"]
    client.hset(client.keys("*:state")[0], "life", "of another one")
    client.close()
    assert other.release(1)[0] == b"incarnation"


# ---- tokens, and what is left


def test_tokens_grow_over_restarts_and_fit_into_63_bits(
    table: RedisTable, redis_server: RedisServer
) -> None:
    one = Caller(table, "s0")
    tokens = []
    for number in range(1, 4):
        tokens.append(token_of(one.acquire(number, "a")[1]))
        one.release(number)
    forget(table, redis_server)
    one = Caller(table, "s0")
    one.call("ready", table.nonce)
    tokens.append(token_of(one.acquire(1, "a")[1]))
    assert tokens == sorted(set(tokens))
    assert tokens[-1] < 2**63
    assert [incarnation_of(token) for token in tokens[-2:]] == sorted(
        set(map(incarnation_of, tokens))
    )
    assert token_of(name_of(tokens[-1])) == tokens[-1]


def test_an_incarnation_that_used_all_its_numbers_makes_room_for_the_next(
    table: RedisTable, redis_server: RedisServer
) -> None:
    import redis

    one = Caller(table, "s0")
    client = redis.Redis.from_url(redis_server.url)
    client.hset(client.keys("*:state")[0], "sequence", 2**32 - 2)
    client.close()
    last = token_of(one.acquire(1, "a")[1])
    reply = one.acquire(2, "b")
    assert reply[0] == b"incarnation"
    assert int(reply[1]) == incarnation_of(last) + 1 or int(reply[1]) > incarnation_of(last)


def test_what_is_let_go_leaves_no_key_behind(table: RedisTable, redis_server: RedisServer) -> None:
    import redis

    one, other = Caller(table, "s0"), Caller(table, "s1")
    client = redis.Redis.from_url(redis_server.url)
    before = sorted(client.keys("*"))
    for number in range(1, 200):
        one.acquire(number, f"a/{number % 7}/x\0b", exclusive=number % 2)
        other.acquire(number, "a", exclusive=1)
        one.call("downgrade", number)
        one.release(number, number % 3 and number + 1)
        other.release(number)
    one.beat(2, 200)
    other.beat(2, 200)
    assert sorted(client.keys("*")) == before
    client.close()
