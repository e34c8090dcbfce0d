"""Daemons killed under load: no overlap, and work goes on."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.volume.fleet import ROOT

from .outside import Scene


def overlaps(folder: Path) -> tuple[int, int, list[str]]:
    """How many times the lease was had, how many of them overlapped, and the errors."""
    had: list[tuple[float, float, int]] = []
    errors: list[str] = []
    for log in folder.glob("*.log"):
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            if isinstance(entry, dict):
                errors.append(entry["error"])
            else:
                had.append((entry[0], entry[1], entry[2]))
    had.sort()
    both = sum(one[1] > other[0] for one, other in pairwise(had))
    return len(had), both, errors


def run(folder: Path, *, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    with Scene(folder, ttl=3.0) as scene:
        scene.start()
        seconds = 2.0 * kills + 1.0
        for number in range(4):
            log = str(folder / f"{number}.log")
            scene.client("contend", seconds=seconds, log=log)
        outside = scene.client(
            "contend", seconds=seconds, log=str(folder / "outside.log"), environment={}
        )
        for _ in range(kills):
            time.sleep(chance.choice((0.1, 0.5, 1.5)) * chance.random())
            scene.daemons[-1].kill()
            scene.daemons[-1].wait()
            if chance.random() < 0.15:
                time.sleep(scene.ttl * chance.random())
            scene.start()
        for worker in scene.workers:
            worker.process.wait(60 + seconds)
        assert outside.process.returncode == 0
        had, both, errors = overlaps(folder)
        print(f"{kills} kills, had {had}, overlaps {both}, errors {len(errors)}: {errors[:5]}")
        assert both == 0
        assert had > 20 * kills
        verified = subprocess.run(
            [sys.executable, "-m", "volumelease", "verify", str(scene.root)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_few_kills_under_load(tmp_path: Path) -> None:
    run(tmp_path, kills=2, seed=1)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_a_hundred_kills_under_load(tmp_path: Path) -> None:
    run(tmp_path, kills=100, seed=2)
