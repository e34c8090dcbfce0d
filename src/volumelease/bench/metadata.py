"""Metadata: names made, asked for, renamed, removed; and symlinks, of which leases are made."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Final

from .document import Result
from .measuring import Measurement, repeated
from .names import OPERATIONS
from .scenario import Context, Measured

NAMES: Final = "volumelease.bench.names:run"
MOST_NAMES: Final = 20_000
PHASE_SECONDS: Final = {"quick": 0.3, "normal": 0.8, "full": 2.0}
BY_KERNEL: Final = 5.0
"""A known name that is answered so many times faster than a new one came out of a cache."""


def run(context: Context) -> Iterator[Result]:
    """Each operation, by one job; by N as well in a full run."""
    many = [1, context.options.jobs] if context.options.pace == "full" else [1]
    for jobs in many:
        yield from measure(context, jobs)


def measure(context: Context, jobs: int) -> list[Result]:
    """All operations, in rounds: a round makes its own names and removes them again."""
    context.progress.step(f"metadata, {jobs} job{'s' * (jobs > 1)}")
    found = {
        name: Measurement(
            "metadata", jobs, 0, False, variant=name, counts_operations=True, fixed_work=True
        )
        for name in OPERATIONS
    }
    repeated(context, lambda: _round(context, jobs, found))
    _flag_what_the_kernel_answers(context, found)
    return [measurement.result(context) for measurement in found.values()]


def _round(context: Context, jobs: int, found: dict[str, Measurement]) -> None:
    top = context.scratch.directory(f"names-{secrets.token_hex(4)}")
    seed = secrets.token_hex(4)
    name = top.rpartition("/")[2]
    folders = [context.scratch.directory(f"{name}/{number}") for number in range(jobs)]
    limits = [MOST_NAMES] * jobs
    for operation, measurement in found.items():
        orders = [
            {"directory": folder, "operation": operation, "limit": limit, "seed": seed}
            for folder, limit in zip(folders, limits, strict=True)
        ]
        answers = _phase(context, measurement, orders)
        # What comes next finds only names that are there, and all of them.
        limits = answers if operation in _NARROWING else limits
    context.scratch.drop(name)


_NARROWING: Final = frozenset({"create", "rename"})


def _phase(
    context: Context, measurement: Measurement, orders: list[dict[str, object]]
) -> list[int]:
    run = context.engine.run(NAMES, orders, seconds=PHASE_SECONDS[context.options.pace], whole=True)
    measurement.add(run, context.cores)
    return [answer["operations"] for answer in run.answers]


def _flag_what_the_kernel_answers(context: Context, found: dict[str, Measurement]) -> None:
    """A stat of a name that this host knows says nothing about the volume: shown, and flagged."""
    known, unseen = found["stat-known"], found["stat-unseen"]
    rates = [
        sorted(repeat.get("ops_per_s", 0.0) for repeat in measurement.repeats)
        for measurement in (known, unseen)
    ]
    fast, slow = (rate[len(rate) // 2] for rate in rates)
    if fast > BY_KERNEL * slow:
        known.flags.add("answered-by-kernel")
        known.notes.append("this host's kernel answered: a name that it knows never left it")


METADATA: Final = Measured(run)
