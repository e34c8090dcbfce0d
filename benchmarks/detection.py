"""How long does a write without a lease stay unseen? From the write to the word of the detector,
for one made on its own host and for one made on another, which only its sweeps can find."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.volume.fleet import Worker, fleet, make_volume

from .measure import Limit, Samples, report

HERE = "a write on this host"
THERE = "a write on another host"
MOST_SECONDS = {HERE: 60.0, THERE: 60.0}
WRITES = 6


def run(folders: list[Path], where: str, target: Path | None, rounds: int) -> bool:
    near, far = folders
    make_volume(near, ttl=15.0)
    (near / "data").mkdir()
    results = {HERE: Samples(HERE)}
    if near != far:
        results[THERE] = Samples(THERE)
    with fleet() as workers:
        facts: dict[str, Any] = {"module": "tests.watch.jobs", "mount": near, "sweep": 45.0}
        detector = workers.start("detect", **facts)
        detector.wait_for("ready", 60)
        for name, folder in zip(results, (near, far), strict=False):
            written = write(folder / "data", name.replace(" ", "-"))
            results[name].seconds += delays(detector, written)
    title = "from a write without a lease to the word of it"
    limits = [Limit(name, most, slowest=True) for name, most in MOST_SECONDS.items()]
    return report(title, where, results, [], target, limits)


def write(folder: Path, name: str) -> dict[str, float]:
    """Files, and when each was written; some seconds apart, so that no one sweep sees all."""
    written = {}
    for number in range(WRITES):
        path = folder / f"{name}-{number}"
        written[path.name] = time.time()
        path.write_bytes(b"nobody's")
        time.sleep(2.0)
    return written


def delays(detector: Worker, written: dict[str, float]) -> Sequence[float]:
    found: dict[str, float] = {}
    while len(found) < len(written):
        told = detector.wait_for("violation", 120)
        name = str(told["violation"]["path"]).rpartition("/")[2]
        if name in written:
            found[name] = told["at"] - written[name]
    return list(found.values())
