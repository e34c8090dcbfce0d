"""Sequential writes and reads: one job and N, direct and buffered."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any, Final

from .document import Result
from .measuring import Measurement, repeated
from .options import MEBIBYTE
from .scenario import Context, Measured

TRANSFER: Final = "volumelease.bench.transfer:run"
BLOCK: Final = MEBIBYTE


def write(context: Context) -> Iterator[Result]:
    """Writes of 1 MiB."""
    for jobs in (1, context.options.jobs):
        for direct in (True, False):
            yield measure_write(context, "sequential-write", jobs, BLOCK, direct)


def measure_write(
    context: Context, scenario: str, jobs: int, block_bytes: int, direct: bool
) -> Result:
    """One result of writing, repeated."""
    measurement = Measurement(scenario, jobs, block_bytes, direct)
    context.progress.step(title(scenario, jobs, direct))

    def once() -> None:
        run = context.engine.run(
            TRANSFER,
            [order(context, "write", number, block_bytes, direct) for number in range(jobs)],
            seconds=context.options.repeat_seconds,
            until_steady=True,
            watch=context.progress.rate,
        )
        measurement.add(run)
        for number, answer in enumerate(run.answers):
            name = file_name(number)
            context.extents[name] = max(context.extents.get(name, 0), answer["extent"])

    try:
        repeated(context, once)
    except OSError as error:
        if error.errno == errno.EINVAL and direct:
            measurement.flags.add("no-direct-io")
        else:
            raise
    return measurement.result(context)


def order(
    context: Context, mode: str, number: int, block_bytes: int, direct: bool
) -> dict[str, Any]:
    """The parameters of one job of ``transfer.run`` on its own file."""
    size = context.options.file_bytes
    return {
        "path": context.scratch.file(file_name(number), size),
        "mode": mode,
        "block_bytes": block_bytes,
        "direct": direct,
        "random": False,
        "file_bytes": size,
        "limit_bytes": 0,
        "seed": context.seed,
        "file": file_name(number),
    }


def file_name(number: int) -> str:
    return f"sequential-{number}"


def title(scenario: str, jobs: int, direct: bool) -> str:
    return f"{scenario}, {jobs} job{'s' * (jobs > 1)}, {'direct' if direct else 'buffered'}"


WRITE: Final = Measured(write)
