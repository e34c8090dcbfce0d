"""How long does nobody hold what a dead holder had? From the kill of a process, and from the loss
of a whole host, to the grant of the worker that waits on the other host; all with a ttl of 3 s."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bed.network import BedHost
from tests.volume.fleet import Worker, fleet, make_volume

from .handoff import open_redis
from .measure import Goal, Limit, Samples, report
from .players import MODULE

TTL_SECONDS = 3.0
SETTLE_SECONDS = 1.0
OURS = "volumelease"
KILLED = "volumelease, killed process"
KILLED_FAR = "volumelease, killed process, heir on another host"
LOST = "volumelease, lost host"
PEERS_KILLED = {
    "filelock FileLock": "filelock FileLock, killed process",
    "filelock SoftFileLease": "filelock SoftFileLease, killed process",
    "redis-py Lock": "redis-py Lock, killed process",
}
MOST_SECONDS = {KILLED: 0.1, KILLED_FAR: TTL_SECONDS + 2, LOST: TTL_SECONDS + 2}


def run(
    folders: Sequence[Path],
    hosts: Sequence[BedHost],
    where: str,
    target: Path | None,
    rounds: int,
) -> bool:
    near, far = folders
    make_volume(near, ttl=TTL_SECONDS)
    (near / "baton").mkdir()
    results: dict[str, Samples] = {}
    with ExitStack() as stack:
        redis = open_redis(stack)
        kinds = {kind: name for kind, name in PEERS_KILLED.items() if redis or "redis" not in kind}

        def takeover(name: str, kind: str, places: tuple[Path, Path], end: Ending) -> None:
            taken = results.setdefault(name, Samples(name))
            taken.seconds.append(one(kind, places, end, redis))

        for _ in range(max(2, rounds // 5)):
            takeover(KILLED, OURS, (near, near), kill)
            for kind, name in kinds.items():
                takeover(name, kind, (near, near), kill)
            if hosts:
                takeover(KILLED_FAR, OURS, (far, near), kill)
                takeover(LOST, OURS, (far, near), lambda _: hosts[1].cut())
                hosts[1].heal()
    goals = [Goal(KILLED, name, 0.1) for kind, name in kinds.items() if kind != "filelock FileLock"]
    limits = [Limit(name, most) for name, most in MOST_SECONDS.items()]
    title = "from the end of a holder to the next grant"
    return report(title, where, results, goals, target, limits)


Ending = Callable[[Worker], None]


def kill(holder: Worker) -> None:
    holder.signal(signal.SIGKILL)


def one(kind: str, places: tuple[Path, Path], end: Ending, redis: str | None) -> float:
    with fleet() as workers:
        facts: dict[str, Any] = {"module": MODULE, "kind": kind, "redis": redis, "ttl": TTL_SECONDS}
        holder = workers.start("hold", folder=places[0], **facts)
        holder.wait_for("begun", 60)
        heir = workers.start("hold", folder=places[1], **facts)
        heir.wait_for("asked", 60)
        time.sleep(SETTLE_SECONDS)
        ended = time.clock_gettime(time.CLOCK_BOOTTIME)
        end(holder)
        return float(heir.wait_for("begun", 60)["begun"] - ended)
