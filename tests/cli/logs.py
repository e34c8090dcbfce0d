"""Logs to look back on: written by real sessions, and damaged by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.wire import marks

from .conftest import picture_of


@contextmanager
def a_process() -> Iterator[Volumes]:
    """The volumes of one process of its own; all its sessions end at the end."""
    volumes = Volumes(Surroundings.of_this_process()._replace(report=print))
    try:
        yield volumes
    finally:
        volumes.close()


def lease_often(volume: Path, times: int, **options: object) -> None:
    with a_process() as volumes:
        for _ in range(times):
            with volume_lease(volume / "often", volumes=volumes, **options):  # type: ignore[arg-type]
                pass


def home(volume: Path) -> Path:
    return volume / ".volumelease" / picture_of(volume).identity.id


def segment(volume: Path, number: int) -> Path:
    """Where that segment lies, in the log or retired."""
    for folder in ("log", "retired"):
        for path in (home(volume) / folder).iterdir():
            name, _, unique = path.name.partition("-")
            if name == str(number) and "." not in unique:
                return path
    raise AssertionError(f"there is no segment {number}")


def entry(volume: Path, index: int) -> Path:
    return segment(volume, index // 256) / str(index % 256)


def replace_link(path: Path, target: str) -> None:
    path.unlink()
    os.symlink(target, path)


def everything(volume: Path) -> list[tuple[str, str, float]]:
    """All that lies on it, with what tells a change."""
    found = []
    for path in sorted(volume.rglob("*")):
        seen = path.lstat()
        target = os.readlink(path) if path.is_symlink() else ""
        found.append((str(path), target, seen.st_ctime))
    return found


def forge(volume: Path, index: int, text: str) -> None:
    """Write a record there as whoever has read the whole log would."""
    folder = segment(volume, index // 256)
    header = json.loads(os.readlink(folder / "s0"))
    mark = marks.begin(folder.name, header["digest"])
    for place in range(index % 256):
        path = folder / str(place)
        mark = marks.follow(mark, os.readlink(path) if path.is_symlink() else "")
    os.symlink(marks.seal(mark, text), folder / str(index % 256))
