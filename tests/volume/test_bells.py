"""Two hosts: how soon a waiter hears that it is its turn, what that costs, and that nothing of
it is needed."""

from __future__ import annotations

import itertools
import signal
import statistics
import time
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bed.moosefs import MooseFsBed
from tests.bed.redis import RedisServer
from volumelease.authorities.volume.courtesy import TURNSTILE_SECONDS, VAIN_WAITS

from .fleet import fleet, make_volume

pytestmark = pytest.mark.bed

POLL_SECONDS: Final = 0.5
"""The longest poll interval under a bell."""

HOLD_SECONDS: Final = 0.5
"""Long enough that whoever waits polls steadily: a wait begins with some short pauses."""


def hand_offs(mounts: list[Path], turns: int, **facts: Any) -> list[float]:
    """Seconds from the end of each turn to the beginning of the next on the other host."""
    with fleet() as workers:
        runners = [
            workers.start("relay", mount=mount, turns=turns, hold=HOLD_SECONDS, **facts)
            for mount in mounts
        ]
        for worker in runners:
            worker.wait_for("ready")
        time.sleep(0.5)  # threads that start with a session have started
        for worker in runners:
            worker.tell_to_go_on()
        spans = [
            (begun, ended, number)
            for number, worker in enumerate(runners)
            for begun, ended in worker.wait_for("spans", 60)["spans"]
        ]
        assert all(worker.finish() == 0 for worker in runners)
    spans.sort()
    found = [b[0] - a[1] for a, b in itertools.pairwise(spans) if a[2] != b[2]]
    assert all(seconds > 0 for seconds in found), "two turns at once"
    return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("bells", ["fcntl", "redis"])
def test_a_bell_is_heard_before_anybody_looks(
    shared_mounts: list[Path], redis_server: RedisServer, bells: str
) -> None:
    """Who has a bell looks ever more rarely. The goals in milliseconds are judged by
    ``python -m benchmarks handoff``."""
    make_volume(shared_mounts[0], ttl=15)
    found = hand_offs(shared_mounts, 10, bells=bells, redis=redis_server.url)
    assert len(found) > 8
    print(f"{bells}: p50 {statistics.median(found) * 1000:.2f} ms")
    assert statistics.median(found) < POLL_SECONDS / 5


@pytest.mark.timeout(120)
@pytest.mark.parametrize("holders", [1, 7])
@pytest.mark.parametrize("bells", ["", "fcntl", "redis", "redis fcntl"])
def test_a_waiter_costs_the_server_less_than_fifty_operations_a_second(
    shared_mounts: list[Path], redis_server: RedisServer, bells: str, holders: int
) -> None:
    make_volume(shared_mounts[0], ttl=15)
    with fleet() as workers:
        ahead = [
            workers.start("take", mount=shared_mounts[number % 2], path="held", shared=True)
            for number in range(holders)
        ]
        for holder in ahead:
            holder.wait_for("granted")
        waiter = workers.start(
            "wait_counted",
            mount=shared_mounts[1],
            bells=bells,
            seconds=5.0,
            redis=redis_server.url,
        )
        counted = waiter.wait_for("a_second", 20)
        print(f"{bells or 'poll'}, {holders} ahead: {counted['a_second']:.1f} calls a second")
        assert counted["kind"] == (bells.split() or ["poll"])[0]
        assert counted["a_second"] < 50
        for holder in ahead:
            assert holder.finish() == 0
        waiter.wait_for("granted")
        assert waiter.finish() == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("trouble", ["stopped", "cut off"])
def test_a_turnstile_that_nobody_leaves_costs_seconds_and_no_lease(
    bed: MooseFsBed, shared_mounts: list[Path], trouble: str
) -> None:
    """A server keeps the lock of a host that was cut off for a day. Whoever waits behind it does
    so in vain, a bounded number of times, and then only tries."""
    make_volume(shared_mounts[0], ttl=15)
    with fleet() as workers:
        keeper = workers.start("keep_turnstile", mount=shared_mounts[0])
        keeper.wait_for("kept")
        keeper.signal(signal.SIGSTOP)
        contenders = [
            workers.start("contend", mount=shared_mounts[1], seconds=12, seed=seed, bells="fcntl")
            for seed in range(4)
        ]
        if trouble == "cut off":
            bed.hosts[0].cut_for(20.0)
        said = [worker.wait_for("grants", 60) for worker in contenders]
        assert [worker.process.wait(20) for worker in contenders] == [0] * 4
        keeper.signal(signal.SIGCONT)
        keeper.finish(60)
    print([(one["grants"], round(one["longest"], 3)) for one in said])
    assert min(one["grants"] for one in said) > 50
    assert max(one["longest"] for one in said) < 2 * VAIN_WAITS * TURNSTILE_SECONDS


@pytest.mark.torture
@pytest.mark.timeout(180)
def test_trouble_of_redis_costs_nobody_a_lease_nor_more_than_a_poll(
    shared_mounts: list[Path], redis_server: RedisServer
) -> None:
    """Overlaps would end a worker: each witnesses its lease by a file made exclusively."""
    make_volume(shared_mounts[0], ttl=15)
    longest: dict[str, float] = {}
    for what in ("calm", "trouble"):
        with fleet() as workers:
            contenders = [
                workers.start(
                    "contend",
                    mount=shared_mounts[number % 2],
                    seconds=18,
                    seed=number,
                    redis=redis_server.url,
                )
                for number in range(8)
            ]
            if what == "trouble":
                make_trouble(redis_server)
            said = [worker.wait_for("grants", 60) for worker in contenders]
            assert [worker.process.wait(20) for worker in contenders] == [0] * 8
        longest[what] = max(one["longest"] for one in said)
        print(
            f"{what}: grants {sorted(one['grants'] for one in said)}, longest {longest[what]:.3f}"
        )
        assert min(one["grants"] for one in said) > 0
    assert longest["trouble"] <= longest["calm"] + POLL_SECONDS


def make_trouble(redis: RedisServer) -> None:
    time.sleep(3)
    redis.kill()
    time.sleep(3)
    redis.start()
    time.sleep(2)
    redis.flush()
    redis.client().client_kill_filter(_type="pubsub")
    time.sleep(2)
    redis.pause()
    time.sleep(5)
    redis.resume()


@pytest.mark.torture
@pytest.mark.timeout(120)
@pytest.mark.parametrize("same", [False, True], ids=["200-paths", "one-path"])
def test_two_hundred_starters_at_once_are_all_served(shared_mounts: list[Path], same: bool) -> None:
    make_volume(shared_mounts[0], ttl=15)
    with fleet() as workers:
        starters = [
            workers.start(
                "start_together",
                mount=shared_mounts[number % 2],
                threads=25,
                same=same,
                bells="fcntl",
            )
            for number in range(8)
        ]
        for worker in starters:
            worker.wait_for("ready")
        for worker in starters:
            worker.tell_to_go_on()
        said = [worker.wait_for("granted", 90) for worker in starters]
        assert all(worker.finish() == 0 for worker in starters)
    begun = min(one["begun"] for one in said)
    last = [max(one["granted"]) - begun for one in said]
    misses = sum(one["misses"] for one in said)
    print(f"all granted in {max(last):.2f} s, {misses} misses; by worker {sorted(last)}")
    assert sum(len(one["granted"]) for one in said) == 200
    commits = 200 if not same else 400
    assert misses <= 3 * commits, "each commit costs a few misses, however many want to commit"
    if same:
        assert min(last) >= max(last) / 3, "nobody was served long before the others were"


@pytest.mark.timeout(120)
def test_many_who_wait_on_one_host_do_not_stop_its_mount(shared_mounts: list[Path]) -> None:
    """Thirteen blocked locks made a mount hang for good."""
    make_volume(shared_mounts[0], ttl=15)
    with fleet() as workers:
        holder = workers.start("take", mount=shared_mounts[0], path="held")
        holder.wait_for("granted")
        others = [
            workers.start("take", mount=shared_mounts[0], path=f"h{number}") for number in range(20)
        ]
        for other in others:
            other.wait_for("granted")
        waiting = [
            workers.start("take", mount=shared_mounts[0], path=f"h{number}") for number in range(20)
        ]
        for waiter in waiting:
            waiter.wait_for("started")
        time.sleep(2)
        quick = workers.start("take", mount=shared_mounts[0], path="elsewhere")
        quick.wait_for("granted", 10)
        for other, waiter in zip(others, waiting, strict=True):
            assert other.finish() == 0
            waiter.wait_for("granted", 10)
            assert waiter.finish() == 0
        assert holder.finish() == 0
        assert quick.finish() == 0
