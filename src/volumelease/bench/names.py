"""The task that makes, asks for, renames and removes names: what a volume's metadata can do."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, Final

from .histograms import bucket
from .job import Job

TEXT: Final = "x" * 200
"""As long as an entry of a lease's log."""


def run(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Do one operation on one name after another, until told to stop.

    Parameters: ``directory`` (exists), ``operation``, ``limit`` (names), ``seed`` (of names that
    nobody has asked for before: the kernel answers for the others itself, in 3 us). Counts
    operations. Errors: ``OSError``.
    """
    operate = OPERATIONS[parameters["operation"]]
    base = f"{parameters['directory']}/{parameters['seed']}-"
    slot, latencies, slowest = job.slot, dict[int, int](), 0
    began = before = job.begin()
    done = 0
    while done < parameters["limit"] and not slot.told_to_stop():
        operate(f"{base}{done}")
        now = time.monotonic_ns()
        took, before = now - before, now
        number = bucket(took)
        latencies[number] = latencies.get(number, 0) + 1
        slowest = max(slowest, took)
        done += 1
        slot.count(done, now - began)
    slot.count_more(done, 0, time.process_time_ns())
    return {
        "bytes": 0,
        "operations": done,
        "latencies": {str(number): count for number, count in latencies.items()},
        "slowest_ns": slowest,
        "done_seconds": (time.monotonic_ns() - began) / 1e9,
    }


def _create(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))


def _stat_unseen(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.stat(path + ".never")


def _symlink(path: str) -> None:
    os.symlink(TEXT, path + ".link")


OPERATIONS: Final[dict[str, Callable[[str], object]]] = {
    "create": _create,
    "stat-unseen": _stat_unseen,
    "stat-known": os.stat,
    "rename": lambda path: os.rename(path, path + ".new"),
    "unlink": lambda path: os.unlink(path + ".new"),
    "symlink": _symlink,
}
"""In the order in which each finds what it needs."""
