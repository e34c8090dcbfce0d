"""What the generator itself can do: the same jobs on memory of their own."""

from __future__ import annotations

from typing import Any, Final

from .document import Ceiling
from .engine import Engine
from .options import MEBIBYTE

TRANSFER: Final = "volumelease.bench.transfer:run"
MEMORY: Final = 32 * MEBIBYTE


def calibrate(engine: Engine, jobs: int, seconds: float) -> list[Ceiling]:
    """The ceiling of one job and of ``jobs``, at 1 MiB; each takes twice ``seconds``."""
    return [_ceiling(engine, count, seconds) for count in dict.fromkeys((1, jobs))]


def _ceiling(engine: Engine, jobs: int, seconds: float) -> Ceiling:
    rates = [
        engine.run(TRANSFER, [_order(mode, number) for number in range(jobs)], seconds=seconds)
        for mode in ("write", "read")
    ]
    return {
        "jobs": jobs,
        "block_bytes": MEBIBYTE,
        "write_mb_per_s": rates[0].bytes_per_s / 1e6,
        "read_mb_per_s": rates[1].bytes_per_s / 1e6,
    }


def _order(mode: str, number: int) -> dict[str, Any]:
    return {
        "path": "",
        "mode": mode,
        "block_bytes": MEBIBYTE,
        "direct": False,
        "random": False,
        "file_bytes": MEMORY,
        "limit_bytes": 0,
        "seed": "calibration",
        "file": str(number),
        "run": 0,
    }
