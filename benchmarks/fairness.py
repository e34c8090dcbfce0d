"""How long does the unluckiest wait? Eight processes on two hosts want one path all the time; p50
and p99 of their waits, and what the least served got of an equal share."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

from tests.volume.fleet import fleet, make_volume

from .handoff import SHORT, open_redis, players, turns
from .measure import Samples, report
from .players import OURS, PEERS_ON_FILES, PEERS_ON_REDIS

PLAYERS = 8
HOLD_SECONDS = 0.002
TURNS = 10
SETTLE_SECONDS = 3.0
"""Eight processes import redis-py at once, in the background."""


def run(folders: list[Path], where: str, target: Path | None, rounds: int) -> bool:
    with ExitStack() as stack:
        redis = open_redis(stack)
        kinds = [*OURS, *PEERS_ON_FILES, *PEERS_ON_REDIS]
        if redis is None:
            kinds = [kind for kind in kinds if kind not in SHORT]
        make_volume(folders[0], ttl=15.0)
        (folders[0] / "baton").mkdir()
        places = [folders[number % len(folders)] for number in range(PLAYERS)]
        results = {}
        shares = {}
        for kind in kinds:  # one after the other: eight waiting processes of each would be too many
            with fleet() as workers:
                team = players(workers, places, kind, (HOLD_SECONDS, 0.0), redis)
                turns(team, 1)
                time.sleep(SETTLE_SECONDS)
                turns(team, TURNS)
                waits = Samples(kind)
                ahead: list[float] = []
                for _ in range(max(1, rounds // 5)):
                    spans = turns(team, TURNS)
                    waits.seconds += [begun - asked for mine in spans for asked, begun, _ in mine]
                    ahead.append(share_of_the_last(spans))
                results[kind], shares[kind] = waits, min(ahead)
    done = report("waits of eight that contend on two hosts", where, results, [], target)
    for kind, share in shares.items():
        print(f"  {kind}: when the first had all its turns, the last had {share:.0%} of them")
    return done


def share_of_the_last(spans: list[list[tuple[float, float, float]]]) -> float:
    first_done = min(mine[-1][2] for mine in spans)
    return min(sum(ended <= first_done for _, _, ended in mine) / len(mine) for mine in spans)
