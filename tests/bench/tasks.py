"""Tasks for the engine that touch no volume: their rates are known exactly, whatever else runs."""

from __future__ import annotations

import builtins
import os
import time
from typing import Any

from volumelease import errors
from volumelease.bench.job import Job


def paced(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Claim ``bytes_per_s``, after ``credit_bytes`` at ten times that, on a clock of its own that
    runs with the real one."""
    began = job.begin()
    block, rate, credit = 1 << 18, parameters["bytes_per_s"], parameters.get("credit_bytes", 0)
    done, clock = 0, 0.0
    while not job.slot.told_to_stop():
        clock += block / (rate * 10 if done < credit else rate)
        done += block
        time.sleep(max(0.0, began / 1e9 + clock - time.monotonic()))
        job.slot.count(done, round(clock * 1e9))
    return answer(done, clock)


def fixed(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """One piece of work: so many bytes in so many seconds, at once."""
    job.begin()
    job.slot.count(parameters["bytes"], round(parameters["seconds"] * 1e9))
    found = answer(parameters["bytes"], parameters["seconds"])
    if fsync := parameters.get("fsync_seconds"):
        found["fsync_seconds"] = fsync
        found["done_seconds"] += fsync
    return found


def failing(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Fail with ``errno``."""
    raise OSError(parameters["errno"], os.strerror(parameters["errno"]))


def troubled(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Fail with an error of leases, or with a fault of its own. ``kind``: its name."""
    raise (getattr(errors, parameters["kind"], None) or getattr(builtins, parameters["kind"]))("oh")


def dying(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """End the process in the middle."""
    os._exit(7)


def endless(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Never look at the order."""
    job.begin()
    time.sleep(3600)
    return {}


def late(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Answer only once a file ``until`` is there, as after an fsync on a volume that stalls."""
    job.begin()
    while not os.path.exists(parameters["until"]):
        time.sleep(0.001)
    return answer(1, 1.0)


def answer(done: int, seconds: float) -> dict[str, Any]:
    return {
        "bytes": done,
        "operations": 1,
        "errors": {},
        "wrong_blocks": 0,
        "fsync_seconds": 0.0,
        "close_seconds": 0.0,
        "done_seconds": seconds,
        "latencies": {},
        "slowest_ns": 0,
    }
