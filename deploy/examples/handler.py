"""A serverless handler: the model is fetched once by the whole fleet, answers have one writer.

    python deploy/examples/handler.py --test_input '{"input": {"prompt": "hello"}}'

``VOLUME`` is the directory of the network volume, ``/runpod-volume`` unless it is set.

A lease that is lost, or that can't be had in time, is an exception, and so an error of the job:
the platform says FAILED, and a retry (``/retry/<job id>``) is safe, for the answer is added once.
"""

from __future__ import annotations

from typing import Any

import once
import runpod

from volumelease import volume_lease


def handler(job: dict[str, Any]) -> dict[str, Any]:
    weights = once.model() / "weights"
    answer = once.compute(weights, job["input"]["prompt"])  # without a lease: the others can write
    with volume_lease(once.ANSWERS, timeout=60, reason=f"job {job['id']}") as lease:
        added = once.add_answer(lease, job, answer)
    return {**answer, "added": added, "token": str(lease.token)}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
