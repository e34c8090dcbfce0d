"""What does it cost to keep leases? One beat of a session that holds one, a hundred, a thousand,
against what renews each by itself: a touch a file, as libraries of lock files do, and redis-py's
``Lock.extend``."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .handoff import open_redis
from .held import acquire
from .measure import Goal, alternate, report

MANY = (1, 100, 1_000)
LOCKS = 100


def run(folder: Path, where: str, target: Path | None, rounds: int) -> bool:
    with ExitStack() as stack:
        contenders = {ours(held): beat_of(folder / str(held), held, stack) for held in MANY}
        contenders |= {touches(held): touch_all(folder / f"touch{held}", held) for held in MANY}
        redis = open_redis(stack)
        if redis is not None:
            contenders[f"redis-py Lock.extend, {LOCKS}"] = extend_all(redis, stack)
        results = alternate(contenders, rounds, calls=3)
    goals = [Goal(ours(1_000), ours(1), 1.5)]
    if where != "local directory":
        goals.append(Goal(ours(1_000), touches(1_000), 0.1))
    return report("one renewal of all leases of a process", where, results, goals, target)


def ours(held: int) -> str:
    return f"volumelease, {held:,} held"


def touches(held: int) -> str:
    return f"a touch a file, {held:,} files"


def beat_of(root: Path, held: int, stack: ExitStack) -> Callable[[], Any]:
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate

    root.mkdir(parents=True)
    volumes = Volumes(Surroundings.of_this_process())
    stack.callback(volumes.close)
    where = locate(str(root), explicit=str(root))
    volumes.found(where, ready=True, ttl=15.0)
    hosted = volumes.session(where)
    for number in range(held):
        hosted.ask(acquire(f"held/{number}"))
    return lambda: hosted.run(hosted.session.beat())


def touch_all(folder: Path, held: int) -> Callable[[], None]:
    folder.mkdir(parents=True)
    paths = [folder / str(number) for number in range(held)]
    for path in paths:
        path.touch()

    def renew() -> None:
        for path in paths:
            os.utime(path)

    return renew


def extend_all(url: str, stack: ExitStack) -> Callable[[], None]:
    import redis

    client = redis.Redis.from_url(url)
    stack.callback(client.close)
    locks = [client.lock(f"renewed-{number}", timeout=3600) for number in range(LOCKS)]
    for lock in locks:
        lock.acquire()

    def renew() -> None:
        for lock in locks:
            lock.extend(3600, replace_ttl=True)

    return renew
