"""A serverless handler: the model is fetched once by the whole fleet, results have one writer.

    python deploy/examples/handler.py --test_input '{"input": {"prompt": "hello"}}'

``VOLUME`` is the directory of the network volume, ``/runpod-volume`` unless it is set.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import runpod

from volumelease import populate, volume_lease

VOLUME = Path(os.environ.get("VOLUME", "/runpod-volume"))


def fetch(draft: Path) -> None:
    """Download the model; here it is made up. Runs in one worker, the others wait."""
    draft.mkdir()
    (draft / "weights").write_text("HELLO " * 1000)


def handler(job: dict[str, Any]) -> dict[str, Any]:
    model = populate(VOLUME / "models" / "shouting", fetch)
    answer = job["input"]["prompt"].upper()
    results = VOLUME / "results"
    with volume_lease(results, timeout=60, reason=f"job {job['id']}") as lease:
        log = results / "log.txt"
        before = log.read_text() if log.exists() else ""
        with lease.open(log, "w") as file:  # published whole, and only if the lease still holds
            file.write(f"{before}{job['id']} {answer}\n")
    return {"answer": answer, "weights": (model / "weights").stat().st_size, "token": lease.token}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
