"""Does a lease cost more where many are held? Acquire + release of one path, in a process that
holds ten leases, a thousand, and ten thousand. The same over a Redis is in ``uncontended-redis``,
and a lock library that keeps a file a lock has nothing that could grow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .measure import Goal, alternate, report

FEW = "10 held"
CROWDS = {FEW: 10, "1,000 held": 1_000, "10,000 held": 10_000}


def run(folder: Path, where: str, target: Path | None, rounds: int) -> bool:
    with ExitStack() as stack:
        leases = {
            name: lease_among(folder / str(held), held, stack) for name, held in CROWDS.items()
        }
        results = alternate(leases, rounds, calls=25)
    goals = [Goal(name, FEW, 1.5) for name in CROWDS if name != FEW]
    return report("acquire + release among many leases", where, results, goals, target)


def lease_among(root: Path, held: int, stack: ExitStack) -> Callable[[], None]:
    """What takes and gives back one lease of a volume where this process holds ``held`` others."""
    from volumelease.leases.asking import volume_lease
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate

    (root / "data").mkdir(parents=True)
    volumes = Volumes(Surroundings.of_this_process())
    stack.callback(volumes.close)
    where = locate(str(root), explicit=str(root))
    volumes.found(where, ready=True, ttl=15.0)
    hosted = volumes.session(where)
    for number in range(held):
        hosted.ask(acquire(f"held/{number // 100}/{number}"))

    def lease() -> None:
        with volume_lease(root / "data", volumes=volumes):
            pass

    return lease


def acquire(name: str) -> Any:
    from volumelease.model import Acquire, Claim

    return Acquire((Claim(name, name),), exclusive=True, owner="crowd", reason="", client=None)
