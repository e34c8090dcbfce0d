"""Many files under 256 KiB against the same bytes in one tar."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final

from .document import Result
from .measuring import Measurement, repeated
from .options import MEBIBYTE
from .scenario import Context, Measured

TASKS: Final = {
    "files-write": "write_files",
    "files-read": "read_files",
    "tar-write": "write_tar",
    "tar-read": "read_tar",
}
MODULE: Final = "volumelease.bench.bundles"
BYTES: Final = {"quick": 16 * MEBIBYTE, "normal": 64 * MEBIBYTE, "full": 256 * MEBIBYTE}
ROUND_SECONDS: Final = 60.0
KNOWN: Final = "this host knows the names of these files already: a new worker asks for each"


def run(context: Context) -> Iterator[Result]:
    """All four, in rounds."""
    found = {
        name: Measurement("small-files", 1, 0, False, variant=name, judged=False, fixed_work=True)
        for name in TASKS
    }
    found["files-read"].notes.append(KNOWN)
    repeated(context, lambda: _round(context, found))
    for measurement in found.values():
        result = measurement.result(context)
        files = [repeat["operations"] / repeat["seconds"] for repeat in measurement.repeats]
        if files:
            result["median_ops_per_s"] = sorted(files)[len(files) // 2]
        yield result


def _round(context: Context, found: dict[str, Measurement]) -> None:
    name = f"bundle-{secrets.token_hex(4)}"
    parameters: dict[str, Any] = {
        "directory": context.scratch.directory(name),
        "bytes": min(BYTES[context.options.pace], context.options.budget_bytes // 8),
        "seed": context.seed + name,
    }
    for variant, task in TASKS.items():
        context.progress.step(f"small-files, {variant}")
        run = context.engine.run(
            f"{MODULE}:{task}",
            [parameters],
            seconds=ROUND_SECONDS,
            whole=True,
            watch=context.progress.rate,
        )
        # A round of which a part was not in time says nothing about the others.
        found[variant].add(run, context.cores)
        if run.answers[0]["bytes"] < parameters["bytes"]:
            found[variant].flags.add("short")
            break
    context.scratch.drop(name)


FILES: Final = Measured(run)
