"""What becomes of leases while an event loop is blocked? The loop does nothing for longer than the
ttl, or computes: the longest time between two beats then, against a loop that is idle. A lock that
its holder's loop renews (redis-py's asyncio ``Lock``, extended by a task) is looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from .handoff import open_redis
from .measure import Samples, report

TTL_SECONDS = 3.0
BLOCKED_SECONDS = 2 * TTL_SECONDS
IDLE = "between two beats, loop idle"
ASLEEP = "between two beats, loop blocked in a call"
BUSY = "between two beats, loop computes"


class Beats:
    """Performs effects, and notes when the session beat."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.times: list[float] = []

    def perform(self, effect: Any) -> Any:
        done = self._inner.perform(effect)
        if type(effect).__name__ == "SetCounter":
            self.times.append(time.monotonic())
        return done


def compute(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        sum(range(1000))


def run(folder: Path, where: str, target: Path | None, rounds: int) -> bool:
    results = {name: Samples(name) for name in (IDLE, ASLEEP, BUSY)}
    kept = 0
    for number in range(max(1, rounds // 10)):
        kept += asyncio.run(with_lease(folder / f"volume{number}", results))
    report("a blocked event loop", where, results, [], target)
    met = kept == max(1, rounds // 10)
    print(f"  the lease outlived {BLOCKED_SECONDS:g} s of both: {'met' if met else 'MISSED'}")
    with ExitStack() as stack:
        redis = open_redis(stack)
        if redis is not None:
            lived = asyncio.run(with_renewing_task(redis))
            print(f"  a lock of redis-py that a task of the loop extends: {lived}")
    return met


async def with_lease(root: Path, results: dict[str, Samples]) -> bool:
    from volumelease.leases.asking import volume_lease
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate

    root.mkdir(parents=True)
    around = Surroundings.of_this_process()
    beats = Beats(around.performer)
    volumes = Volumes(around._replace(performer=beats))
    volumes.found(locate(str(root), explicit=str(root)), ready=True, ttl=TTL_SECONDS)
    blocks: dict[str, Callable[[float], Any]] = {ASLEEP: time.sleep, BUSY: compute}
    async with volume_lease(root, volumes=volumes) as lease:
        started = time.monotonic()
        await asyncio.sleep(BLOCKED_SECONDS)
        results[IDLE].seconds.append(longest_pause(beats.times, started))
        for name, block in blocks.items():
            started = time.monotonic()
            block(BLOCKED_SECONDS)
            results[name].seconds.append(longest_pause(beats.times, started))
        kept = not lease.lost
    volumes.close()
    return kept


def longest_pause(times: list[float], since: float) -> float:
    marks = [since, *(at for at in list(times) if at > since), time.monotonic()]
    return max(after - before for before, after in pairwise(marks))


async def with_renewing_task(url: str) -> str:
    from redis import asyncio as redis_asyncio
    from redis.exceptions import LockError

    client = redis_asyncio.Redis.from_url(url)
    lock = client.lock("blocked", timeout=TTL_SECONDS)
    await lock.acquire()

    async def renew() -> None:
        with suppress(LockError):
            while True:
                await asyncio.sleep(TTL_SECONDS / 3)
                await lock.extend(TTL_SECONDS, replace_ttl=True)

    renewing = asyncio.create_task(renew())
    await asyncio.sleep(TTL_SECONDS / 2)
    time.sleep(BLOCKED_SECONDS)  # that is the question
    owned = await lock.owned()
    renewing.cancel()
    with suppress(asyncio.CancelledError):
        await renewing
    await client.aclose()
    return "kept" if owned else "lost"
