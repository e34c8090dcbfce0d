"""The Redis bell, with a real redis-server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.bed.redis import RedisServer, missing_redis
from volumelease.authorities.redis.addresses import address_of
from volumelease.authorities.redis.connecting import RedisWire
from volumelease.bells.ears import Ear
from volumelease.bells.pubsub import RedisBell, channel_of

from .test_bytelocks import LONG, until

RINGER = "aaaaaaaaaaaaaaaa"
WAITER = "bbbbbbbbbbbbbbbb"

Make = Callable[..., tuple[RedisBell, Ear]]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[RedisBell] = []

    def bell(url: str, session: str = WAITER, volume: str = "v") -> tuple[RedisBell, Ear]:
        ear = Ear()
        made.append(RedisBell(RedisWire(address_of(url)), volume, session, ear))
        made[-1].start()
        return made[-1], ear

    yield bell
    for one in made:
        one.close()
    assert until(lambda: not bells_threads()), "closed bells end their threads"


def bells_threads() -> list[str]:
    names = ("volumelease-publish", "volumelease-hear")
    return [thread.name for thread in threading.enumerate() if thread.name in names]


def listening(bell: RedisBell, ear: Ear) -> None:
    bell.arm()
    assert until(lambda: bell.armed)
    ear.wait(0)


def test_the_session_that_is_named_wakes_and_no_other(
    redis_server: RedisServer, make: Make
) -> None:
    ringer, _ = make(redis_server.url, RINGER)
    bell, ear = make(redis_server.url)
    stranger, stranger_ear = make(redis_server.url, "cccccccccccccccc")
    elsewhere, elsewhere_ear = make(redis_server.url, volume="another")
    for one, its_ear in ((bell, ear), (stranger, stranger_ear), (elsewhere, elsewhere_ear)):
        listening(one, its_ear)
    ringer.ring(frozenset({WAITER}))
    assert ear.wait(LONG)
    assert not stranger_ear.wait(0.05)
    assert not elsewhere_ear.wait(0)


@pytest.mark.parametrize("kind", ["url", "socket_url"])
def test_it_finds_redis_with_a_password(kind: str, make: Make) -> None:
    if reason := missing_redis():
        pytest.skip(reason)
    with RedisServer(password="pass/word") as server:
        url = getattr(server, kind).replace("pass/word", "pass%2Fword")
        ringer, _ = make(url, RINGER)
        bell, ear = make(url)
        listening(bell, ear)
        ringer.ring(frozenset({WAITER}))
        assert ear.wait(LONG)


def test_no_change_of_the_bell_tells_the_password(make: Make) -> None:
    if reason := missing_redis():
        pytest.skip(reason)
    told: list[str] = []
    with RedisServer(password="secret-word") as server:
        bell, ear = make(server.url)
        bell.on_change = lambda up, why: told.append(why)
        listening(bell, ear)
        server.kill()
        assert until(lambda: len(told) == 2)
        server.start()
    assert "secret" not in repr(told)


def test_after_a_crash_and_a_restart_it_rings_again(redis_server: RedisServer, make: Make) -> None:
    ringer, _ = make(redis_server.url, RINGER)
    bell, ear = make(redis_server.url)
    listening(bell, ear)
    redis_server.kill()
    assert until(lambda: not bell.armed)
    ringer.ring(frozenset({WAITER}))
    redis_server.start()
    assert until(lambda: bell.armed)

    def rings() -> bool:
        ringer.ring(frozenset({WAITER}))
        return ear.wait(0.05)

    assert until(rings)


def test_a_redis_that_hangs_is_noticed_and_delays_nobody(
    redis_server: RedisServer, make: Make
) -> None:
    ringer, _ = make(redis_server.url, RINGER)
    bell, ear = make(redis_server.url)
    listening(bell, ear)
    redis_server.pause()
    started = time.monotonic()
    for _ in range(1000):
        ringer.ring(frozenset({WAITER}))
        bell.arm()
    assert time.monotonic() - started < 0.5
    assert until(lambda: not bell.armed), "a silent subscription must not be believed in"
    redis_server.resume()
    assert until(lambda: bell.armed)


def test_a_redis_that_swallows_everything_delays_nobody(make: Make) -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        url = f"redis://127.0.0.1:{hole.getsockname()[1]}"
        bell, ear = make(url)
        started = time.monotonic()
        bell.arm()
        bell.ring(frozenset({WAITER}))
        assert time.monotonic() - started < 0.5
        assert not bell.armed
        assert not ear.wait(0.05)
        bell.close()


def test_garbage_on_the_channel_wakes_nobody(redis_server: RedisServer, make: Make) -> None:
    bell, ear = make(redis_server.url)
    listening(bell, ear)
    client = redis_server.client()
    for message in (b"\xff\xfe", b"", b"x" * 1_000_000, WAITER.encode() + b"x"):
        client.publish(channel_of("v"), message)
    assert not ear.wait(0.1)
    client.publish(channel_of("v"), f"x {WAITER}")
    assert ear.wait(LONG)


def test_who_is_waited_for_is_told_and_not_woken(redis_server: RedisServer, make: Make) -> None:
    waiter, _ = make(redis_server.url, WAITER)
    holder, ear = make(redis_server.url, RINGER)
    listening(holder, ear)
    told = threading.Event()
    holder.on_awaited = told.set
    waiter.announce(frozenset({RINGER}))
    assert told.wait(LONG)
    assert not ear.wait(0)
