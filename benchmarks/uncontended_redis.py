"""What does a lease of a Redis cost when nobody else wants the path? Acquire + release, against
the physical limit (two bare EVALSHA, once as redis-py's client sends them and once written to its
connection by hand) and the lock that redis-py brings. Then the same with 10,000 leases held."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bed.redis import RedisServer, missing_redis

from .measure import Goal, alternate, report

OURS = "volumelease"
CROWDED = "volumelease, 10,000 held"
BARE = "two bare EVALSHA"
LOCK = "redis-py Lock"
HELD = 10_000
DEEP = "models/llama/7b"


def contenders(folder: Path, url: str, stack: ExitStack) -> dict[str, Callable[[], Any]]:
    import redis

    client = redis.Redis.from_url(url)
    stack.callback(client.close)
    digest = str(client.script_load("return redis.call('EXISTS', KEYS[1])"))
    lock = client.lock("peer", timeout=15)

    def bare() -> None:
        client.evalsha(digest, 1, "bare")
        client.evalsha(digest, 1, "bare")

    def with_lock() -> None:
        with lock:
            pass

    return {
        OURS: _lease_on(folder / "few", url, 10, stack),
        CROWDED: _lease_on(folder / "many", url, HELD, stack),
        BARE: bare,
        LOCK: with_lock,
    }


def _lease_on(root: Path, url: str, held: int, stack: ExitStack) -> Callable[[], None]:
    from volumelease.leases.asking import volume_lease
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate

    (root / DEEP).mkdir(parents=True)
    surroundings = Surroundings.of_this_process()
    settings = surroundings.settings._replace(redis_url=url)
    volumes = Volumes(surroundings._replace(settings=settings))
    stack.callback(volumes.close)
    where = locate(str(root), explicit=str(root))
    volumes.found(where, ready=True, ttl=15.0, authority="redis")
    hosted = volumes.session(where)
    for number in range(held):
        name = f"held/{number // 100}/{number}"
        hosted.ask(_acquire(name))
    path = str(root / DEEP)

    def lease() -> None:
        with volume_lease(path, volumes=volumes):
            pass

    return lease


def _acquire(name: str) -> Any:
    from volumelease.model import Acquire, Claim

    return Acquire((Claim(name, name),), exclusive=True, owner="crowd", reason="", client=None)


def run(folder: Path, where: str, target: Path | None, rounds: int) -> bool:
    if reason := missing_redis():
        print(f"\nwithout Redis: {reason}")
        return True
    goals = [Goal(OURS, LOCK, 1.0), Goal(OURS, BARE, 1.5), Goal(CROWDED, OURS, 1.5)]
    with ExitStack() as stack:
        url = stack.enter_context(RedisServer()).url
        results = alternate(contenders(folder, url, stack), rounds=rounds, calls=50)
    return report("acquire + release, authority redis, uncontended", where, results, goals, target)
