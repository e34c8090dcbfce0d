"""An async handler that runs several jobs at once (``concurrency_modifier``).

    python deploy/examples/handler_async.py --test_input '{"input": {"prompt": "hello"}}'

The jobs of one worker exclude each other as those of two workers do: each is a task of its own.
What touches the volume runs in threads, so that a slow volume never stops the loop, with which the
SDK takes and answers jobs. A lease that is lost cancels the job, and its block raises
``LeaseLost``: an error of the job, as in ``handler.py``.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import once
import runpod

from volumelease import volume_lease

MOST_JOBS = int(os.environ.get("MOST_JOBS", "3"))


async def handler(job: dict[str, Any]) -> dict[str, Any]:
    weights = await asyncio.to_thread(once.model) / "weights"
    answer = await asyncio.to_thread(once.compute, weights, job["input"]["prompt"])
    async with volume_lease(once.ANSWERS, timeout=60, reason=f"job {job['id']}") as lease:
        added = await asyncio.to_thread(once.add_answer, lease, job, answer)
    return {**answer, "added": added, "token": str(lease.token)}


def concurrency_modifier(current: int) -> int:
    """How many jobs this worker takes at once."""
    return min(current + 1, MOST_JOBS)


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "concurrency_modifier": concurrency_modifier})
