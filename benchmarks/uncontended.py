"""What does a lease cost when nobody else wants the path? Acquire + release, against the physical
limit (two bare symlinks) and the lock libraries people use on such mounts."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .measure import Goal, alternate, report

OURS = "volumelease"
BARE = "two bare symlinks"


def contenders(folder: Path) -> dict[str, Callable[[], Any]]:
    import fasteners  # type: ignore[import-untyped] # it ships no types
    import filelock

    from volumelease.leases.asking import volume_lease
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate

    volume, bare, peers = folder / "volume", folder / "bare", folder / "peers"
    for directory in (volume / "data", bare, peers):
        directory.mkdir(parents=True)
    volumes = Volumes(Surroundings.of_this_process())
    volumes.found(locate(str(volume), explicit=str(volume)), ready=True, ttl=15.0)
    model = volume / "data" / "model"
    model.mkdir()

    numbers = itertools.count()
    content = "x" * 150

    def symlinks() -> None:
        number = next(numbers)
        os.symlink(content, bare / f"{number}a")
        os.symlink(content, bare / f"{number}b")

    def lease() -> None:
        with volume_lease(model, volumes=volumes):
            pass

    file_lock = filelock.FileLock(peers / "file.lock")
    soft_lease = filelock.SoftFileLease(peers / "soft.lease")
    process_lock = fasteners.InterProcessLock(peers / "process.lock")

    def with_file_lock() -> None:
        with file_lock:
            pass

    def with_soft_lease() -> None:
        with soft_lease:
            pass

    def with_process_lock() -> None:
        with process_lock:
            pass

    return {
        OURS: lease,
        BARE: symlinks,
        "filelock FileLock": with_file_lock,
        "filelock SoftFileLease": with_soft_lease,
        "fasteners InterProcessLock": with_process_lock,
    }


def run(folder: Path, where: str, target: Path | None, rounds: int) -> bool:
    goals = [
        Goal(OURS, BARE, 1.5),
        Goal(OURS, "filelock SoftFileLease", 0.4),
        Goal(OURS, "filelock FileLock", 0.9),
    ]
    results = alternate(contenders(folder), rounds=rounds, calls=25)
    on_network = where != "local directory"
    return report("acquire + release, uncontended", where, results, goals[: 3 * on_network], target)
