"""Schedules that nobody thought of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.simulation import search
from tests.simulation.run import run
from tests.simulation.setup import Case, setup_of

ROOT: Final = Path(__file__).parents[2]
BLOCK: Final = 200
SHORT_SEEDS: Final = 2_000
DAEMON_SEEDS: Final = 100
DAEMON_BLOCK: Final = 50
CONTAINER_SEEDS: Final = 50
MOVING_SEEDS: Final = 100
LONG_SEEDS: Final = 20_000
LONG_BLOCK: Final = 500

DIGEST_OF_SEEDS: Final = "3e415f8980431128186584084f8fe71c59f82e7480e012ea43d90040c0bb1876"
"""Stands for the whole history of the seeds below. It changes with every change of the protocol
or of the simulator, and then only then: `python -m tests.simulation.digest` prints the new one."""


def clean(cases: list[Case]) -> None:
    found = search.first(cases)
    if found is not None:
        shorter = search.shorten(found)
        pytest.fail(
            f"first seen with: {found.case.command()}\n\n{search.story(shorter)}", pytrace=False
        )


@pytest.mark.parametrize("first", range(0, SHORT_SEEDS, BLOCK))
def test_every_promise_holds_whatever_the_schedule(first: int) -> None:
    clean([Case(seed) for seed in range(first, first + BLOCK)])


@pytest.mark.parametrize("first", range(0, DAEMON_SEEDS, DAEMON_BLOCK))
def test_every_promise_holds_when_daemons_go_on_with_sessions(first: int) -> None:
    clean([Case(seed, daemons=True) for seed in range(first, first + DAEMON_BLOCK)])


def test_every_promise_holds_when_containers_are_started_again() -> None:
    clean([Case(seed, containers=True) for seed in range(CONTAINER_SEEDS)])


def test_every_promise_holds_when_drafts_were_written_elsewhere() -> None:
    clean([Case(seed, moves=True) for seed in range(MOVING_SEEDS)])


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, LONG_SEEDS, LONG_BLOCK))
def test_every_promise_holds_in_long_runs_of_daemons(first: int) -> None:
    clean([Case(seed, long=True, daemons=True) for seed in range(first, first + LONG_BLOCK)])


@pytest.mark.torture
@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", range(0, LONG_SEEDS, LONG_BLOCK))
def test_every_promise_holds_in_long_runs(first: int) -> None:
    clean([Case(seed, long=True) for seed in range(first, first + LONG_BLOCK)])


def test_a_history_can_be_run_again() -> None:
    setup = setup_of(Case(7))
    assert run(setup, recording=True) == run(setup, recording=True)


def test_recording_changes_nothing() -> None:
    setup = setup_of(Case(11))
    assert run(setup).events == run(setup, recording=True).events


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_a_seed_gives_the_same_history_under_every_hash_seed(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT / "src")}
    printed = subprocess.run(
        [sys.executable, "-m", "tests.simulation.digest"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert printed.stdout.strip() == DIGEST_OF_SEEDS
