"""What does the guard in Python cost? The hooks of an open alone (``sys.audit``), in a process that
holds a lease: differences between opens on a network volume are lost in what these take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from .measure import Limit, Samples, report

_CALLS: Final = 500
_TURNS: Final = """
import json, os, sys, time
from volumelease import volume_lease
place, off, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
def mean(path, flags):
    started = time.perf_counter()
    for _ in range(calls): sys.audit("open", path, None, flags)
    return (time.perf_counter() - started) / calls
bare = mean(place + "/file", os.O_RDONLY)
with volume_lease(place):
    open(place + "/file", "w").close()
    turns = (("/file", os.O_RDONLY), ("/file", os.O_WRONLY), ("/new", os.O_WRONLY | os.O_CREAT))
    for line in sys.stdin:
        found = [mean(place + name, flags) for name, flags in turns]
        found += [mean(off, os.O_RDONLY), mean(off, os.O_WRONLY)]
        print(json.dumps([figure - bare for figure in found]), flush=True)
"""
MOST_SECONDS: Final = {
    "open to read, on the volume": 1e-6,
    "open to write, on the volume": 10e-6,
    "create, on the volume": 10e-6,
    "open to read, elsewhere": 1e-6,
    "open to write, elsewhere": 10e-6,
}


def run(folder: Path, where: str, target: Path | None, rounds: int) -> bool:
    """Each figure is the mean of calls in a row, so it holds its share of what the guard asks the
    volume once a second."""
    place, off = folder / "leased", Path("/dev/shm/volumelease-guard")
    place.mkdir()
    off.touch()
    words = [sys.executable, "-m", "volumelease", "init", str(folder)]
    subprocess.run(words, check=True, capture_output=True)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", _TURNS, str(place), str(off), str(_CALLS)],
        env=environ | {"VOLUMELEASE_GUARD": "enforce"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        told, _ = process.communicate("\n" * rounds * 5)
    off.unlink()
    turns = [json.loads(line) for line in told.splitlines()]
    added = {
        name: Samples(name, list(figures))
        for name, figures in zip(MOST_SECONDS, zip(*turns, strict=True), strict=True)
    }
    limits = [Limit(name, most) for name, most in MOST_SECONDS.items()]
    return report("what the guard adds to one open", where, added, [], target, limits)
