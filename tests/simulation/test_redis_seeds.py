"""Schedules that nobody thought of, where a Redis is the authority: the real scripts, a server that
forgets, stands still, is full or gone, and calls that come late, twice or never."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.simulation import search
from tests.simulation.digest import digest_of_seeds
from tests.simulation.run import run
from tests.simulation.setup import Case, setup_of
from tests.simulation.test_seeds import clean

pytest.importorskip("lupa.lua51", reason="the Lua of Redis: pip install lupa")

ROOT: Final = Path(__file__).parents[2]
BLOCK: Final = 50
SHORT_SEEDS: Final = 200
FORGETFUL_SEEDS: Final = 100
LONG_SEEDS: Final = 10_000
LONG_BLOCK: Final = 500

REPEATED: Final = (
    ("flush", "empty", "tail", "failover"),
    ("flush", "freeze", "late"),
    ("flush", "wall"),
)
FORGETFUL: Final = ("flush", "empty", "tail", "failover")


def case_of(seed: int, only: tuple[str, ...] | None = None, *, long: bool = False) -> Case:
    return Case(seed, only, long=long, authority="redis")


@pytest.mark.parametrize("first", range(0, SHORT_SEEDS, BLOCK))
def test_every_promise_holds_whatever_the_schedule(first: int) -> None:
    clean([case_of(seed) for seed in range(first, first + BLOCK)])


@pytest.mark.parametrize("first", range(0, FORGETFUL_SEEDS, BLOCK))
def test_no_healthy_holder_loses_its_lease_by_a_server_that_forgets(first: int) -> None:
    clean([case_of(seed, FORGETFUL) for seed in range(first, first + BLOCK)])


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, LONG_SEEDS, LONG_BLOCK))
def test_every_promise_holds_in_long_runs(first: int) -> None:
    clean([case_of(seed, long=True) for seed in range(first, first + LONG_BLOCK)])


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "only", [FORGETFUL, ("flush", "freeze", "late"), ("flush", "wall")], ids=str
)
def test_servers_that_forget_again_and_again_cost_waiting(only: tuple[str, ...]) -> None:
    clean([case_of(seed, only) for seed in range(2_000)])


def test_a_seed_gives_the_same_history_under_every_hash_seed() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT / "src")}
    printed = subprocess.run(
        [sys.executable, "-m", "tests.simulation.digest", "redis"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert printed.stdout.strip() == digest_of_seeds("redis")


def test_recording_changes_nothing() -> None:
    setup = setup_of(case_of(11))
    assert run(setup).events == run(setup, recording=True).events


def test_what_is_found_can_be_run_again_by_its_command() -> None:
    assert "--authority redis" in case_of(3).command()
    assert search.violation_of(case_of(3)) is None
