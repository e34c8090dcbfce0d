"""What a session has open, it closes when it is done with it, whenever garbage is collected."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation.scales import small_segments
from volumelease import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes

from .fleet import make_volume

LEASES = 60


@pytest.fixture
def _uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_uncollected")
def test_directories_of_past_segments_are_closed_without_the_collector(tmp_path: Path) -> None:
    """One that took an entry for which two contended was kept by the error of who came second:
    of a busy log hundreds, in a process so large that garbage is collected once an hour."""
    make_volume(tmp_path, ttl=15)
    with small_segments(24):
        fleet = [Volumes(Surroundings.of_this_process()) for _ in range(2)]
        workers = [threading.Thread(target=contend, args=(tmp_path, mine)) for mine in fleet]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        segments = open_segments(tmp_path)
        assert len(segments) <= 2 * len(fleet), segments
        for mine in fleet:
            mine.close()


def contend(root: Path, mine: Volumes) -> None:
    for _ in range(LEASES):
        with volume_lease(root / "a", volumes=mine):
            pass


def open_segments(root: Path) -> list[str]:
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            continue
        if target.startswith(str(root)) and ("/log/" in target or "/retired/" in target):
            found.append(target)
    return found
