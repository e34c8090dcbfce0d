"""Two hundred starters at once, each for a path of its own: until the last has its lease, against
two hundred bare symlinks in a row, the least that as many commits can cost."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from tests.volume.fleet import fleet, make_volume

from .measure import Goal, Samples, report

STARTERS = 200
BARE = "200 bare symlinks in a row"
PROCESSES = (1, 2, 8)


def run(folders: list[Path], where: str, target: Path | None, rounds: int) -> bool:
    make_volume(folders[0], ttl=15.0)
    names = {many: f"200 starters in {many} process{'es' * (many > 1)}" for many in PROCESSES}
    results = {name: Samples(name) for name in (BARE, *names.values())}
    for _ in range(max(1, rounds // 4)):
        for many, name in names.items():
            results[BARE].seconds.append(bare(folders[0]))
            results[name].seconds.append(herd(folders, many))
    goals = [Goal(name, BARE, 4.0) for name in names.values()]
    on_network = where != "local directory"
    return report("starters at once", where, results, goals if on_network else [], target)


def bare(folder: Path) -> float:
    place = folder / f"bare-{secrets.token_hex(4)}"
    place.mkdir()
    started = time.perf_counter()
    for number in range(STARTERS):
        os.symlink("x" * 150, place / str(number))
    return time.perf_counter() - started


def herd(folders: list[Path], processes: int) -> float:
    with fleet() as workers:
        team = [
            workers.start(
                "start_together",
                mount=folders[number % len(folders)],
                threads=STARTERS // processes,
                same=False,
                bells="fcntl",
            )
            for number in range(processes)
        ]
        for worker in team:
            worker.wait_for("ready", 60)
        time.sleep(0.3)  # what starts with a session has started
        for worker in team:
            worker.tell_to_go_on()
        said = [worker.wait_for("granted", 120) for worker in team]
        for worker in team:
            worker.finish()
    begun = min(one["begun"] for one in said)
    return float(max(max(one["granted"]) for one in said) - begun)
