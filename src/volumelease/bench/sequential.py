"""Sequential writes and reads: one job and N, direct and buffered, and blocks of all sizes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from .document import Result
from .layout import NO_DIRECT, Work, lay_out, measure
from .measuring import Measurement
from .options import MEBIBYTE
from .scenario import Context, Measured

BLOCK: Final = MEBIBYTE
SWEEP: Final = tuple(4096 << shift for shift in range(0, 11, 2))
"""4 KiB to 4 MiB."""


def write(context: Context) -> Iterator[Result]:
    """Writes of 1 MiB; in a quick run not buffered by N jobs, which says little more."""
    yield from _each(context, "sequential-write", "write", _ways(context))


def read(context: Context) -> Iterator[Result]:
    """Reads of 1 MiB."""
    ways = _ways(context)
    lay_out(context, max(jobs for jobs, _ in ways))
    yield from _each(context, "sequential-read", "read", ways)


def sweep(context: Context) -> Iterator[Result]:
    """Blocks of 4 KiB to 4 MiB, by one job."""
    context.parts = 4 * len(SWEEP)
    lay_out(context, 1)
    for mode in ("write", "read"):
        for direct in (True, False):
            for block in SWEEP:
                yield one(context, f"block-sweep-{mode}", Work(mode, 1, block, direct))


def one(context: Context, scenario: str, work: Work, *, judged: bool = True) -> Result:
    """The result of one way of working."""
    context.progress.step(f"{scenario}, {work}")
    measurement = Measurement(scenario, work.jobs, work.block_bytes, work.direct, judged=judged)
    if measure(context, measurement, work) is None:
        return measurement.failed(NO_DIRECT, "no-direct-io")
    return measurement.result(context)


def _ways(context: Context) -> list[tuple[int, bool]]:
    many = context.options.jobs
    ways = [(1, True), (1, False), (many, True)]
    return ways if context.options.pace == "quick" else [*ways, (many, False)]


def _each(
    context: Context, scenario: str, mode: str, ways: Sequence[tuple[int, bool]]
) -> Iterator[Result]:
    context.parts = len(ways)
    for jobs, direct in ways:
        yield one(context, scenario, Work(mode, jobs, BLOCK, direct))


WRITE: Final = Measured(write, weight=3.0)
READ: Final = Measured(read, weight=3.0)
SWEEP_ALL: Final = Measured(sweep, weight=6.0)
