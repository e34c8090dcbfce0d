"""How long is it from the end of one holder to the beginning of the next, where a Redis keeps the
leases? As ``handoff``, with two processes of one host: the volume is not asked."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.volume.fleet import fleet

from .handoff import AWAY_SECONDS, HOLD_SECONDS, TURNS, hand_offs, open_redis, players, turns
from .measure import Goal, Limit, Samples, report
from .players import ON_REDIS, PEERS_ON_REDIS

GOAL_SECONDS = 0.001


def run(folders: list[Path], where: str, target: Path | None, rounds: int) -> bool:
    with ExitStack() as stack:
        redis = open_redis(stack)
        if redis is None:
            return True
        _found(folders[0], redis)
        (folders[0] / "baton").mkdir()
        workers = stack.enter_context(fleet())
        kinds = [ON_REDIS, *PEERS_ON_REDIS]
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
    goals = [Goal(ON_REDIS, "redis-py Lock", 0.02)]
    title, limits = "hand-off, authority redis", [Limit(ON_REDIS, GOAL_SECONDS)]
    return report(title, where, results, goals, target, limits)


def _found(root: Path, redis: str) -> None:
    from tests.volume.jobs import with_redis
    from volumelease.paths.locate import locate

    volumes = with_redis(redis)
    volumes.found(locate(root, explicit=str(root)), ready=True, ttl=15.0, authority="redis")
