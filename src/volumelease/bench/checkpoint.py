"""Writing a checkpoint: as long as it takes until it is on the volume and readers see it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final

from .document import Result
from .measuring import Measurement, repeated
from .options import MEBIBYTE
from .scenario import Context, Measured
from .statistics import median

TASK: Final = "volumelease.bench.bundles:checkpoint"
SECONDS: Final = {"quick": 1.0, "normal": 3.0, "full": 10.0}
"""About how long one is to take, by what the volume was seen to take in."""
MOST: Final = 2048 * MEBIBYTE


def run(context: Context) -> Iterator[Result]:
    """Several checkpoints, one after another."""
    context.progress.step("checkpoint")
    size = size_bytes(context)
    measurement = Measurement("checkpoint", 1, MEBIBYTE, False, fixed_work=True)
    phases: dict[str, list[float]] = {"write_seconds": [], "publish_seconds": []}

    def once() -> None:
        name = f"checkpoint-{secrets.token_hex(4)}"
        parameters: dict[str, Any] = {
            "directory": context.scratch.directory(name),
            "bytes": size,
            "seed": context.seed + name,
        }
        run = context.engine.run(TASK, [parameters], whole=True)
        measurement.add(run, context.cores)
        for phase, values in phases.items():
            values.append(run.answers[0][phase])
        context.scratch.drop(name)

    repeated(context, once)
    measurement.extras = {name: median(values) for name, values in phases.items()}
    measurement.extras["checkpoint_bytes"] = size
    yield measurement.result(context)


def size_bytes(context: Context) -> int:
    """How large a checkpoint is: some seconds of writing, within the budget."""
    rate = context.rates.get("sequential-write", 200.0)
    wanted = int(rate * 1e6 * SECONDS[context.options.pace])
    most = min(MOST, context.options.budget_bytes // 4)
    return max(16 * MEBIBYTE, min(wanted, most) // MEBIBYTE * MEBIBYTE)


CHECKPOINT: Final = Measured(run)
