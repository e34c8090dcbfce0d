"""An example, unchanged, that stands still under its lease the first time a job comes.

``EXAMPLE`` names it; the token of the lease it has then is written to ``INSIDE/<job>``, and it goes
on once ``INSIDE/go`` is there.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
INSIDE = Path(os.environ["INSIDE"])

sys.path.insert(0, str(EXAMPLES))
once: Any = import_module("once")
add_answer, compute = once.add_answer, once.compute


def stand_still(name: str, token: int) -> None:
    flag = INSIDE / name
    if not flag.exists():
        (INSIDE / f"{name}.new").write_text(str(token))
        (INSIDE / f"{name}.new").rename(flag)
        while not (INSIDE / "go").exists():
            time.sleep(0.02)


def add_slowly(lease: Any, job: dict[str, Any], answer: dict[str, Any]) -> bool:
    stand_still(job["id"], lease.token)
    added: bool = add_answer(lease, job, answer)
    return added


def compute_slowly(weights: Path, prompt: str) -> dict[str, Any]:
    if "stream" in os.environ["EXAMPLE"]:  # it computes under its lease
        stand_still(prompt, 0)
    answer: dict[str, Any] = compute(weights, prompt)
    return answer


once.add_answer, once.compute = add_slowly, compute_slowly
runpy.run_path(str(EXAMPLES / os.environ["EXAMPLE"]), run_name="__main__")
