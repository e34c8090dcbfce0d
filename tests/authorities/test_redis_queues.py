"""Long queues of sessions that are over, on a real Redis and a clock that is moved by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.authorities.stepped import Volume
from tests.bed.redis import RedisServer

TTL = 6.0
DEAD = 30


@pytest.mark.parametrize("armed", [False, True])
def test_all_that_are_dead_in_a_queue_make_way_in_one_ttl(
    tmp_path: Path, redis_server: RedisServer, armed: bool
) -> None:
    volume = Volume(tmp_path, redis_server.url, TTL)
    for number in range(DEAD):
        volume.worker(f"dead{number:02}").opened().asks("a")
    waiter = volume.worker("waiter").opened()
    token = waiter.asks("a")
    beat = waiter.session.timing.beat_interval
    began = next_beat = volume.clock.now
    while not waiter.holds(token) and volume.clock.now < began + 4 * TTL:
        if volume.clock.now >= next_beat:
            next_beat += beat
            assert waiter.beat()
        waiter.look()
        volume.clock.now += 0.5 if armed else 0.1
    assert volume.clock.now - began <= TTL + 1 + 2 * beat


def test_of_those_far_ahead_the_counters_alone_are_told(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    volume = Volume(tmp_path, redis_server.url, TTL)
    for number in range(DEAD):
        volume.worker(f"dead{number:02}").opened().asks("a")
    waiter = volume.worker("waiter").opened()
    waiter.asks("a")
    calls = waiter.session.calls
    for asked, told in ((1, 8), ("1 0", 8), ("1 12", 20), ("1 504", DEAD)):
        sessions = waiter.run(calls.once("look", asked, 1)).rest[2]
        assert [name for name, *_ in sessions] == [b"dead%02d" % n for n in range(told)]
        assert [bool(facts) for _, _, facts, _ in sessions] == [n < 8 for n in range(told)]
        assert all(counter for _, counter, _, _ in sessions)
