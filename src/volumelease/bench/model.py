"""How long a worker waits for its model: a synthetic safetensors file, loaded cold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from .document import Result
from .layout import TRANSFER
from .measuring import Measurement, kept_when_interrupted, repeat_seconds, repeated
from .options import MEBIBYTE
from .problems import BenchProblem
from .scenario import Context, Measured
from .tensors import DIRECT_BLOCK

LOADER: Final = "volumelease.bench.tensors:load"
HEADER: Final = "volumelease.bench.tensors:write_header"
FILE: Final = "model.safetensors"
MODEL_BYTES: Final = {"7B": 14e9, "13B": 26e9, "70B": 140e9}
"""16 bit a parameter."""
WAYS: Final = ("mmap", "read", "threads")
THREADS: Final = 8
LAYOUT_SECONDS: Final = {"quick": 3.0, "normal": 10.0, "full": 30.0}
LEAST: Final = 32 * MEBIBYTE
MOST: Final = {"quick": 384 * MEBIBYTE, "normal": 1024 * MEBIBYTE, "full": 4096 * MEBIBYTE}


def run(context: Context) -> Iterator[Result]:
    """Each way of loading it."""
    size = lay_out(context)
    context.parts = len(WAYS)
    for way in WAYS:
        context.progress.step(f"model-load, {way}")
        yield measure(context, way, size)
    context.scratch.drop(FILE)


def lay_out(context: Context) -> int:
    """Write the file, as much as there is time for. Returns its size in bytes."""
    context.progress.step("model-load, writing the model")
    size = largest(context)
    path = context.scratch.file(FILE, size)
    order = _writing(context, path, size)
    seconds = max(1.5, min(LAYOUT_SECONDS[context.options.pace], context.seconds_left() / 4))
    run = context.engine.run(TRANSFER, [order], seconds=seconds, watch=context.progress.rate)
    size = int(run.answers[0]["extent"]) // DIRECT_BLOCK * DIRECT_BLOCK
    if size < LEAST:
        raise BenchProblem(
            f"in {seconds:.0f} s the volume took less than {LEAST / 1e6:.0f} MB of a model",
            advice="Give it more time: volumelease bench DIR --full --scenario model-load",
        )
    context.engine.run(HEADER, [{"path": path, "file_bytes": size}])
    return size


def largest(context: Context) -> int:
    """The size of a file that budget and memory allow: a load keeps all of it."""
    budget = context.scratch.budget_bytes - context.options.files_bytes
    size = min(MOST[context.options.pace], budget, context.free_memory() // 4)
    return max(LEAST, size // DIRECT_BLOCK * DIRECT_BLOCK)


def _writing(context: Context, path: str, size: int) -> dict[str, Any]:
    return {
        "path": path,
        "mode": "write",
        "block_bytes": MEBIBYTE,
        "direct": False,
        "random": False,
        "file_bytes": size,
        "limit_bytes": size,
        "seed": context.seed,
        "file": FILE,
        "run": 0,
    }


def measure(context: Context, way: str, size: int) -> Result:
    """One way, repeated."""
    threads = THREADS if way == "threads" else 1
    block = DIRECT_BLOCK if way == "threads" else 0
    measurement = Measurement("model-load", 1, block, False, variant=way)
    order = {
        "path": context.scratch.file(FILE, size),
        "file_bytes": size,
        "way": way,
        "threads": threads,
    }

    share = context.share()

    def once() -> None:
        run = context.engine.run(
            LOADER,
            [order],
            seconds=repeat_seconds(context, share),
            until_steady=True,
            watch=context.progress.rate,
        )
        measurement.direct = bool(run.answers[0]["direct"])
        measurement.add(run, context.cores)

    with kept_when_interrupted(context, measurement):
        repeated(context, once, share)
    result = measurement.result(context)
    result["threads"] = threads
    rate = result["median_mb_per_s"]
    if rate:
        result["cold_start_seconds"] = {
            name: size_bytes / 1e6 / rate for name, size_bytes in MODEL_BYTES.items()
        }
    return result


LOAD: Final = Measured(run, weight=2.0)
