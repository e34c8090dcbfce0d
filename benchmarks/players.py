"""Processes that contend, of this project and of its peers: ``python -m benchmarks.players``.

Each says one JSON object a line and does what a line of its input tells it; see
``tests.volume.fleet``.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

Taker = Callable[[], AbstractContextManager[Any]]
MODULE = "benchmarks.players"

OURS = {
    "volumelease, fcntl bell": "fcntl",
    "volumelease, redis bell": "redis",
    "volumelease, polling": "",
}
ON_REDIS = "volumelease, authority redis"
PEERS_ON_FILES = ("filelock FileLock", "filelock SoftFileLease")
PEERS_ON_REDIS = ("redis-py Lock", "python-redis-lock")


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def taker(kind: str, folder: str, redis_url: str | None) -> Taker:
    """What takes the one thing that all players of that kind contend for."""
    if kind in OURS:
        from tests.volume.jobs import bells_of, with_redis
        from volumelease.leases.asking import volume_lease

        volumes = with_redis(redis_url, bells=bells_of(OURS[kind]))
        with volume_lease(f"{folder}/warm-{os.getpid()}", volumes=volumes):
            pass
        return lambda: volume_lease(f"{folder}/baton", volumes=volumes)
    if kind == ON_REDIS:
        return _on_redis(folder, redis_url)
    if kind in PEERS_ON_FILES:
        import filelock

        lock = getattr(filelock, kind.split()[1])(f"{folder}/{kind.split()[1]}")
        return lambda: lock
    import redis

    assert redis_url is not None
    client = redis.Redis.from_url(redis_url)
    if kind == "redis-py Lock":
        return lambda: client.lock("baton", timeout=60)
    redis_lock = importlib.import_module("redis_lock")  # it ships no types
    return lambda: redis_lock.Lock(client, "baton-redis-lock", expire=60)


def _on_redis(folder: str, redis_url: str | None) -> Taker:
    from tests.volume.jobs import with_redis
    from volumelease.leases.asking import volume_lease

    volumes = with_redis(redis_url)
    with volume_lease(f"{folder}/warm-{os.getpid()}", volumes=volumes):
        pass
    return lambda: volume_lease(f"{folder}/baton", volumes=volumes)


def relay(folder: str, kind: str, hold: float, away: float, redis: str | None = None) -> None:
    """As many turns as each line of the input says, ``away`` seconds apart; tells when each was
    asked for, began and ended."""
    take = taker(kind, folder, redis)
    say(ready=True)
    for line in sys.stdin:
        spans = []
        for _ in range(int(line)):
            asked = now()
            with take():
                begun = now()
                time.sleep(hold)
                spans.append((asked, begun, now()))
            time.sleep(away)
        say(spans=spans)


def hold(folder: str, kind: str, ttl: float, redis: str | None = None) -> None:
    """One turn, without an end; tells when it asked and when it began."""
    take = taker_with_ttl(kind, folder, ttl, redis)
    say(asked=now())
    with take():
        say(begun=now())
        sys.stdin.readline()


def taker_with_ttl(kind: str, folder: str, ttl: float, redis: str | None) -> Taker:
    """As ``taker``, and where each lock has a ttl of its own, with that one."""
    if kind == "volumelease":
        from volumelease.leases.asking import volume_lease

        return lambda: volume_lease(f"{folder}/baton")
    if kind == "filelock SoftFileLease":
        import filelock

        return lambda: filelock.SoftFileLease(f"{folder}/soft", lease_duration=ttl)
    if kind == "redis-py Lock":
        import redis as client

        assert redis is not None
        connected = client.Redis.from_url(redis)
        return lambda: connected.lock("heir", timeout=ttl)
    return taker(kind, folder, redis)


if __name__ == "__main__":
    jobs: dict[str, Callable[..., None]] = {"relay": relay, "hold": hold}
    jobs[sys.argv[1]](**json.loads(sys.argv[2]))
