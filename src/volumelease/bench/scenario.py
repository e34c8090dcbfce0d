"""What a scenario is, what it gets, and which there are.

A scenario measures one question on one mount. It gets a ``Context`` and yields results of the
document, one by one, so that an interruption keeps those that are done.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final, Protocol

from .document import MountFacts, Result
from .engine import Engine
from .memory import available_bytes
from .options import Options
from .scratch import Scratch


class Progress(Protocol):
    """Whoever shows a person how it goes on. Called from the thread that runs the scenarios."""

    def step(self, text: str) -> None:
        """Something else is measured from now on."""

    def rate(self, mb_per_s: float) -> None:
        """What the last sample saw; about four times a second."""

    def result(self, result: Result) -> None:
        """One measurement is done."""


class Silent:
    """A ``Progress`` that shows nothing."""

    def step(self, text: str) -> None:
        """Nothing."""

    def rate(self, mb_per_s: float) -> None:
        """Nothing."""

    def result(self, result: Result) -> None:
        """Nothing."""


@dataclass(slots=True)
class Context:
    """What a scenario works with.

    ``scratch`` is a directory of this run on the mount, removed by whoever made it; ``engine``
    runs jobs in processes of their own. ``until_monotonic``: when this scenario has to be through
    in a run of limited time; None: it may take what it needs. ``seed`` is new in every run.
    """

    scratch: Scratch
    options: Options
    progress: Progress
    engine: Engine
    mount: MountFacts
    seed: str
    until_monotonic: float | None = None
    extents: dict[str, int] = field(default_factory=dict)
    """Bytes written and verified so far of files in the scratch, by name: later scenarios read
    what earlier ones wrote."""

    verified: set[str] = field(default_factory=set)
    """Those whose contents were compared."""
    unfinished: list[Result] = field(default_factory=list)
    """What was being measured when the run was interrupted."""
    parts: int = 1
    """How many measurements a scenario has still to make, for ``share``."""
    runs: int = 0
    """How many runs of transfers had their orders so far."""
    rates: dict[str, float] = field(default_factory=dict)
    """MB/s that earlier scenarios saw, by their names: how much work is a second."""

    @property
    def cores(self) -> int:
        """Those that this process may use."""
        return len(os.sched_getaffinity(0))

    def free_memory(self) -> int:
        """Bytes that processes may still take: of this machine, and of this container."""
        return available_bytes()

    def share(self) -> float:
        """Seconds for the next measurement of this scenario, of those that it has left."""
        parts, self.parts = self.parts, max(1, self.parts - 1)
        return self.seconds_left() / max(1, parts)

    def seconds_left(self) -> float:
        """Of this scenario's share of the time; infinite without one."""
        if self.until_monotonic is None:
            return float("inf")
        return max(0.0, self.until_monotonic - time.monotonic())


class Scenario(Protocol):
    """One question. ``weight`` is its share of the time of a quick run, 1 for most."""

    @property
    def weight(self) -> float:
        """Shares of the time."""

    def run(self, context: Context) -> Iterator[Result]:
        """Measure. Errors: ``OSError`` and ``BenchProblem`` end this scenario, and are told."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A scenario that is a function."""

    function: Callable[[Context], Iterator[Result]]
    weight: float = 1.0

    def run(self, context: Context) -> Iterator[Result]:
        """Measure."""
        return self.function(context)


_PLACES: Final = {
    "sequential-write": "sequential:WRITE",
    "sequential-read": "sequential:READ",
    "random": "scattered:RANDOM",
    "metadata": "metadata:METADATA",
    "model-load": "model:LOAD",
    "small-files": "small_files:FILES",
    "checkpoint": "checkpoint:CHECKPOINT",
    "block-sweep": "sequential:SWEEP_ALL",
    "locks": "lease_cost:LOCKS",
    "lease-cost": "lease_cost:COST",
}
"""Where each scenario stands, in the order in which they run: what writes comes before what reads
it, and what a slow mount makes longest is the last. A module is imported when its scenario runs."""


_NOT_IN_A_MINUTE: Final = frozenset({"small-files", "checkpoint", "block-sweep"})


def names(pace: str = "normal") -> tuple[str, ...]:
    """The scenarios of a pace, in the order in which they run."""
    return tuple(name for name in _PLACES if pace != "quick" or name not in _NOT_IN_A_MINUTE)


def all_names() -> tuple[str, ...]:
    """Every scenario there is."""
    return tuple(_PLACES)


def scenario_named(name: str) -> Scenario:
    """Errors: ``KeyError``."""
    module, _, attribute = _PLACES[name].partition(":")
    found: Scenario = getattr(import_module(f"volumelease.bench.{module}"), attribute)
    return found
