"""How long is it from the end of one holder to the beginning of the next, on another host?

Two processes, one a host, take turns at one path. Each keeps it until the other waits for certain,
and then stays away for a while: else a peer without a queue would mostly hand over to itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bed.redis import RedisServer, missing_redis
from tests.volume.fleet import Fleet, Worker, fleet, make_volume

from .measure import Goal, Samples, report
from .players import MODULE, OURS, PEERS_ON_FILES, PEERS_ON_REDIS

HOLD_SECONDS = 0.2
AWAY_SECONDS = 0.15
TURNS = 4
SHORT = {"volumelease, redis bell", *PEERS_ON_REDIS}


def run(folders: list[Path], where: str, target: Path | None, rounds: int) -> bool:
    with ExitStack() as stack:
        redis = open_redis(stack)
        kinds = [*OURS, *PEERS_ON_FILES, *PEERS_ON_REDIS]
        if redis is None:
            kinds = [kind for kind in kinds if kind not in SHORT]
        make_volume(folders[0], ttl=15.0)
        (folders[0] / "baton").mkdir()
        workers = stack.enter_context(fleet())
        pairs = {
            kind: players(workers, folders, kind, (HOLD_SECONDS, AWAY_SECONDS), redis)
            for kind in kinds
        }
        results = {kind: Samples(kind) for kind in kinds}
        for number in range(rounds + 1):
            for kind in kinds if number % 2 else reversed(kinds):
                found = hand_offs(turns(pairs[kind], TURNS))
                if number:  # the first round warms up
                    results[kind].seconds.extend(found)
    goals = [
        Goal("volumelease, fcntl bell", "filelock SoftFileLease", 0.1),
        Goal("volumelease, redis bell", "redis-py Lock", 0.02),
    ]
    on_network = where != "local directory"
    goals = [goal for goal in goals if on_network and {goal.ours, goal.theirs} <= set(results)]
    return report("hand-off between two hosts", where, results, goals, target)


def open_redis(stack: ExitStack) -> str | None:
    if reason := missing_redis():
        print(f"\nwithout Redis: {reason}")
        return None
    return stack.enter_context(RedisServer()).url


def players(
    workers: Fleet,
    folders: Sequence[Path],
    kind: str,
    times: tuple[float, float],
    redis: str | None,
) -> list[Worker]:
    """Started and ready; ``times``: for how long each holds, and stays away between turns."""
    facts: dict[str, Any] = {
        "module": MODULE,
        "kind": kind,
        "hold": times[0],
        "away": times[1],
        "redis": redis,
    }
    started = [workers.start("relay", folder=folder, **facts) for folder in folders]
    for worker in started:
        worker.wait_for("ready", 60)
    return started


def turns(workers: Sequence[Worker], many: int) -> list[list[tuple[float, float, float]]]:
    """(asked, begun, ended) of each turn of each worker, all started together."""
    for worker in workers:
        assert worker.process.stdin is not None
        worker.process.stdin.write(f"{many}\n")
        worker.process.stdin.flush()
    return [[(a, b, c) for a, b, c in w.wait_for("spans", 300)["spans"]] for w in workers]


def hand_offs(spans: list[list[tuple[float, float, float]]]) -> list[float]:
    """From the end of each turn to the beginning of the next, where another had asked before."""
    every = sorted(
        (begun, asked, ended, number)
        for number, mine in enumerate(spans)
        for asked, begun, ended in mine
    )
    found = []
    for (_, _, ended, one), (begun, asked, _, other) in pairwise(every):
        if one != other and asked < ended:
            found.append(begun - ended)
    return found
