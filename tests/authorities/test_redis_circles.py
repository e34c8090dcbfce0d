"""Circles of waiting owners that close while a Redis which forgot hears again what there was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.authorities.redis_table import RedisTable
from tests.authorities.test_redis_scripts import Caller, forget
from tests.bed.redis import RedisServer, eventually
from tests.bed.redis_proxy import RedisProxy
from volumelease.authorities.redis.tokens import name_of
from volumelease.errors import LeaseDeadlock, LeaseTimeout
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate

TTL = 3.0


@pytest.fixture
def table(redis_server: RedisServer) -> Iterator[RedisTable]:
    table = RedisTable(redis_server.url, grace=False)
    yield table
    table.close()


def acquire(caller: Caller, number: int, owner: str, key: str) -> list[Any]:
    return caller.call("acquire", number, 1, 1, owner, key, "", "")


def reclaim(caller: Caller, floor: int, *requests: tuple[int, bytes, str, str, str]) -> list[Any]:
    """``requests``: number, token, when granted or "", owner, key."""
    parts: list[Any] = []
    for number, token, granted, owner, key in requests:
        parts += [number, token, 1, granted, owner, key, "", "1", ""]
    return caller.call("reclaim", "", 2, floor, *parts)


def standings(table: RedisTable) -> list[tuple[bytes, bytes, bool]]:
    return [(one[1], one[7], bool(one[3])) for one in sorted(table.picture()[4])]


def test_a_circle_that_closed_in_a_grace_ends_the_youngest_with_it(
    table: RedisTable, redis_server: RedisServer
) -> None:
    one, other = Caller(table, "s0"), Caller(table, "s1")
    a, b = acquire(one, 1, "o1", "a")[1], acquire(other, 1, "o2", "b")[1]
    waits = acquire(other, 2, "o2", "a")[1]
    forget(table, redis_server)
    reclaim(one, 2, (1, a, "1", "o1", "a"))
    assert acquire(one, 2, "o1", "b")[0] == b"waiting", "the other one's b is not known yet"
    reclaim(other, 3, (1, b, "1", "o2", "b"), (2, waits, "", "o2", "a"))
    other.call("ready", table.nonce)
    assert standings(table) == [(b"s0", b"a", True), (b"s1", b"b", True), (b"s1", b"a", False)]
    assert one.beat(3, 3)[3] == b"1", "its session is told that something was done to it"
    assert acquire(one, 2, "o1", "b") == [b"finished"]
    assert acquire(one, 3, "o1", "b")[0] == b"deadlocked"
    one.release(1)
    assert standings(table) == [(b"s1", b"b", True), (b"s1", b"a", True)]


def test_who_waits_in_no_circle_keeps_its_place_at_the_end_of_a_grace(
    table: RedisTable, redis_server: RedisServer
) -> None:
    one, other = Caller(table, "s0"), Caller(table, "s1")
    a, b = acquire(one, 1, "o1", "a")[1], acquire(other, 1, "o2", "b")[1]
    waits = acquire(other, 2, "o2", "a")[1]
    forget(table, redis_server)
    reclaim(other, 3, (1, b, "1", "o2", "b"), (2, waits, "", "o2", "a"))
    reclaim(one, 2, (1, a, "1", "o1", "a"))
    assert acquire(one, 2, "o3", "b")[0] == b"waiting", "another owner, who holds nothing"
    before = standings(table)
    other.call("ready", table.nonce)
    assert standings(table) == before


def test_the_end_of_a_grace_with_many_that_hold_and_wait_is_soon_done(
    table: RedisTable, redis_server: RedisServer
) -> None:
    """Each would be looked for among all before it: the square of their number."""
    one, other = Caller(table, "s0"), Caller(table, "s1")
    held = acquire(one, 1, "first", "all")[1]
    forget(table, redis_server)
    reclaim(one, 2, (1, held, "1", "first", "all"))
    first = (table.incarnation - 1) * 2**32
    for some in range(1, 500, 50):
        requests: list[tuple[int, bytes, str, str, str]] = []
        for number in range(2 * some, 2 * some + 100, 2):
            own, shared = (name_of(first + n).encode() for n in (number, number + 1))
            requests.append((number, own, "1", f"o{number}", f"own/{number}"))
            requests.append((number + 1, shared, "", f"o{number}", "all"))
        assert reclaim(other, 9000, *requests)[2] == []
    client = redis_server.client()
    client.config_resetstat()
    assert other.call("ready", table.nonce)[0] == b"ready"
    assert sum(one["calls"] for one in client.info("commandstats").values()) < 60_000
    kept = standings(table)
    assert (b"s1", b"own/2", True) in kept
    assert len(kept) > 501, "those it could not look at ask again, the others keep their place"


def test_two_that_wait_for_each_other_after_a_restart_are_told_so(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    base = Surroundings.of_this_process()
    root = locate(str(tmp_path), explicit=str(tmp_path))

    def worker(url: str) -> Volumes:
        settings = base.settings._replace(redis_url=url)
        return Volumes(base._replace(settings=settings, report=lambda text: None))

    with RedisProxy(redis_server.address, doors=1) as proxy, ThreadPoolExecutor(2) as pool:
        door = proxy.doors[0]
        one, other = worker(redis_server.url), worker(door.url)
        one.found(root, ready=True, ttl=TTL, authority="redis")

        def takes_b_then_a() -> str:
            with volume_lease(tmp_path / "b", volumes=other):
                return takes(tmp_path / "a", other)

        with volume_lease(tmp_path / "a", volumes=one):
            second = pool.submit(takes_b_then_a)
            eventually(lambda: waits(other), 10)
            door.cut()
            redis_server.restart(keep=False)
            late = pool.submit(heal_later, one, door)
            first = takes(tmp_path / "b", one)
            late.result()
        assert first == "deadlock"
        assert second.result() == "granted"
        one.close()
        other.close()


def waits(volumes: Volumes) -> bool:
    sessions = list(volumes._sessions.values())
    return bool(sessions) and sessions[0].session.waits


def heal_later(volumes: Volumes, door: Any) -> None:
    """Once the first one waits in the new memory for what the other one holds."""
    eventually(lambda: waits(volumes), 10)
    time.sleep(0.05)
    door.heal()


def takes(path: Path, volumes: Volumes) -> str:
    try:
        with volume_lease(path, timeout=4 * TTL, volumes=volumes):
            return "granted"
    except LeaseDeadlock:
        return "deadlock"
    except LeaseTimeout:
        return "timeout"
