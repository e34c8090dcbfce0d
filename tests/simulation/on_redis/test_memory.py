"""The simulated memory answers as a real server does, command by command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bed.redis import RedisServer, missing_redis
from tests.simulation.on_redis.memory import Memory

HASH, SET, LEX, SCORES = b"hash", b"set", b"lex", b"scores"
UNORDERED = {b"HKEYS", b"HVALS", b"SMEMBERS", b"HGETALL"}

names = st.sampled_from([b"a", b"ab", b"b", b"0000000001-0000000002", b"0000000001-0000000010"])
numbers = st.integers(0, 12).map(b"%d".__mod__)
ends = st.one_of(
    st.sampled_from([b"-", b"+"]),
    st.tuples(st.sampled_from([b"[", b"("]), names).map(b"".join),
)
bounds = st.tuples(st.sampled_from([b"", b"("]), numbers).map(b"".join)


def call(name: bytes, *arguments: Any) -> st.SearchStrategy[tuple[bytes, ...]]:
    given = [one if isinstance(one, st.SearchStrategy) else st.just(one) for one in arguments]
    return st.tuples(st.just(name), *given)


commands = st.one_of(
    call(b"HSET", HASH, names, numbers),
    call(b"HSET", HASH, names, numbers, names, names),
    call(b"HINCRBY", b"count", names, numbers),
    call(b"HINCRBY", b"count", names, b"-1"),
    call(b"HDEL", HASH, names),
    *(call(name, HASH) for name in (b"HLEN", b"HKEYS", b"HVALS", b"HGETALL")),
    call(b"HGET", HASH, names),
    call(b"HMGET", HASH, names, names),
    call(b"HEXISTS", HASH, names),
    call(b"SADD", SET, names),
    call(b"SREM", SET, names),
    call(b"SMEMBERS", SET),
    call(b"SCARD", SET),
    call(b"ZADD", LEX, b"0", names),
    call(b"ZREM", LEX, names),
    call(b"ZRANGE", LEX, b"0", st.sampled_from([b"0", b"1", b"-1"])),
    call(b"ZRANGEBYLEX", LEX, ends, ends),
    call(b"ZRANGEBYLEX", LEX, ends, ends, b"LIMIT", b"0", numbers),
    call(b"ZADD", SCORES, numbers, numbers),
    call(b"ZREM", SCORES, numbers),
    call(b"ZSCORE", SCORES, numbers),
    call(b"ZRANGE", SCORES, b"0", b"-1"),
    call(b"ZREMRANGEBYSCORE", SCORES, bounds, bounds),
    call(b"EXISTS", HASH, SET, LEX, SCORES, b"count"),
    call(b"DEL", st.sampled_from([HASH, SET, LEX, SCORES]), b"count"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    if reason := missing_redis():
        pytest.skip(reason)
    import redis

    with RedisServer() as running:
        client = redis.Redis.from_url(running.url)
        yield client
        client.close()


@given(st.lists(commands, max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_command_answers_as_a_real_server_does(
    server: Any, history: list[tuple[bytes, ...]]
) -> None:
    server.flushall()
    memory = Memory(lambda: 0.0, remembers=False)
    through_lua = "return redis.call(unpack(ARGV))"
    for command in history:
        real: Any = server.eval(through_lua, 0, *command)
        simulated: Any = memory.perform(*command)
        if command[0] in UNORDERED:
            real, simulated = sorted(real), sorted(simulated)
        assert simulated == real, command


@given(st.lists(commands, min_size=1, max_size=30), st.lists(commands, max_size=30))
@settings(max_examples=60, deadline=None)
def test_what_is_forgotten_was_never_written(
    before: list[tuple[bytes, ...]], after: list[tuple[bytes, ...]]
) -> None:
    now = [0.0]
    memory = Memory(lambda: now[0], remembers=True)
    for command in before:
        memory.perform(*command)
    kept = {key: dict(value) for key, value in memory.keys.items()}
    now[0] = 1.0
    for command in after:
        memory.perform(*command)
    memory.forget(0.5)
    assert memory.keys == kept
