"""What does it cost to publish? One small file under a lease that is already held, against writing
it aside, fsync and rename; a large file and a tree, against fsync of all of it and rename. And
``populate`` of what is there already, against looking that it is."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .measure import Goal, alternate, report

OURS = "publish"
BARE = "temp + fsync + rename"
THERE = "populate what is there"
LOOK = "stat"
LARGE_BYTES = 1_000_000_000
TREE_FILES = 10_000
_CHUNK = b"x" * (4 << 20)


def _fsync(path: Path | str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _small(path: Path) -> None:
    path.write_bytes(b"x" * 1000)


def _large(path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        for _ in range(LARGE_BYTES // len(_CHUNK)):
            file.write(_CHUNK)


def _tree(path: Path) -> None:
    path.mkdir()
    for number in range(TREE_FILES):
        if number % 100 == 0:
            (path / f"{number // 100}").mkdir()
        (path / f"{number // 100}" / f"{number}").write_bytes(b"x" * 100)


def _bare(folder: Path, make: Callable[[Path], None]) -> Callable[[], None]:
    """As a careful program does it by hand; a directory gets a new name every time."""
    numbers = itertools.count()

    def call() -> None:
        number = next(numbers)
        draft = folder / f"draft{number}"
        make(draft)
        if draft.is_dir():
            for where, _, files in os.walk(draft, topdown=False):
                for name in files:
                    _fsync(f"{where}/{name}")
                _fsync(where)
            os.rename(draft, folder / f"tree{number}")
        else:
            _fsync(draft)
            os.rename(draft, folder / "file")

    return call


def _ours(lease: Any, path: Path, make: Callable[[Path], None]) -> Callable[[], None]:
    def call() -> None:
        with lease.stage(path) as draft:
            make(draft)

    return call


def run(folder: Path, where: str, target: Path | None, rounds: int) -> bool:
    from volumelease.leases.asking import volume_lease
    from volumelease.leases.populating import populate
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate

    volume, bare = folder / "volume", folder / "bare"
    for directory in (volume, bare):
        directory.mkdir(parents=True)
    volumes = Volumes(Surroundings.of_this_process())
    volumes.found(locate(str(volume), explicit=str(volume)), ready=True, ttl=15.0)
    met = True
    with volume_lease(volume / "data", volumes=volumes) as lease:
        for name, make, most, calls, goals in (
            ("one small file", _small, rounds, 10, [Goal(OURS, BARE, 3.0)]),
            ("a file of 1 GB", _large, min(rounds, 3), 1, []),
            ("a tree of 10,000 files", _tree, min(rounds, 3), 1, []),
        ):
            own = bare / make.__name__
            own.mkdir()
            contenders = {
                OURS: _ours(lease, volume / "data" / make.__name__, make),
                BARE: _bare(own, make),
            }
            results = alternate(contenders, rounds=most, calls=calls)
            short = make.__name__.strip("_")
            file = target and target.with_name(f"{target.stem}-{short}.json")
            met &= report(f"publish {name}", where, results, goals, file)
            shutil.rmtree(own)
    model = populate(volume / "model", _small, volumes=volumes)
    looks: dict[str, Callable[[], Any]] = {
        THERE: lambda: populate(model, _small, volumes=volumes),
        LOOK: model.stat,
    }
    results = alternate(looks, rounds=rounds, calls=10)
    file = target and target.with_name(f"{target.stem}-there.json")
    met &= report("populate what is there", where, results, [], file)
    volumes.close()
    return met
