"""What the handlers here share: the model that the fleet fetches once, and answers that are
written exactly once, though a platform delivers a job at least once.

A worker can be killed after it wrote an answer and before it said so; then the job is delivered
again. So the effect of a job carries the job's name, and whoever is to write it looks first
whether it is there. Both happen under one lease, so nobody writes in between; and the file is
published whole, so there is no half-written line to be taken for an answer.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.request
from pathlib import Path
from typing import Any

from volumelease import Lease, populate

VOLUME = Path(os.environ.get("VOLUME", "/runpod-volume"))
ANSWERS = VOLUME / "results" / "answers.jsonl"
MODEL = VOLUME / "models" / "shouting"
MODEL_URL = os.environ.get("MODEL_URL", "")
WORK_SECONDS = float(os.environ.get("WORK_SECONDS", "0"))


def fetch(draft: Path) -> None:
    """Download the model; made up where there is no ``MODEL_URL``. Runs in one worker of the
    fleet, the others wait for it."""
    draft.mkdir()
    if not MODEL_URL:
        (draft / "weights").write_text("HELLO " * 1000)
        return
    with urllib.request.urlopen(MODEL_URL) as source, open(draft / "weights", "wb") as file:
        shutil.copyfileobj(source, file)


def model() -> Path:
    """The model, complete; fetched by now if it was not there."""
    return populate(MODEL, fetch)


def compute(weights: Path, prompt: str) -> dict[str, Any]:
    """What the GPU is for."""
    time.sleep(WORK_SECONDS)
    return {"answer": prompt.upper(), "weights": weights.stat().st_size}


def name_of(job: dict[str, Any]) -> str:
    """What tells this job from all others, however often it is delivered. A client that submits it
    anew, instead of asking for a retry, gets another id: it can say by ``request`` that it means
    the same one."""
    return str(job["input"].get("request") or job["id"])


def add_answer(lease: Lease, job: dict[str, Any], answer: dict[str, Any]) -> bool:
    """Add the answer to the dataset, unless that job's is there. Returns whether it was added.

    ``lease`` must cover ``ANSWERS``. Errors: ``LeaseLost``, and then nothing changed. The file is
    written anew each time; where it grows large, publish one file for each job in a directory.
    """
    before = ANSWERS.read_text() if ANSWERS.exists() else ""
    if any(json.loads(line)["job"] == name_of(job) for line in before.splitlines()):
        return False
    with lease.open(ANSWERS, "w") as file:  # published whole, and only if the lease still holds
        file.write(f"{before}{json.dumps({'job': name_of(job), **answer})}\n")
    return True
