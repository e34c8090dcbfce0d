"""Runs a benchmark in a process of its own: ``python -m tests.bench.harness DIR OPTIONS`` prints
the document. Options are JSON, the fields of ``Options``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.bench.mounts import precedence
from volumelease.bench.document import Document, Result
from volumelease.bench.options import Options

ROOT: Final = Path(__file__).parents[2]


def bench(
    directory: Path,
    *scenarios: str,
    prefix: Sequence[str] = (),
    env: dict[str, str] | None = None,
    **options: Any,
) -> Document:
    """The document of a run on ``directory``; ``prefix`` and ``env`` of its process."""
    more = json.dumps({"scenarios": scenarios, "repeats": 3, **options})
    around = dict(env or os.environ)
    around["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT / "src"), str(ROOT), around.get("PYTHONPATH", "")])
    )
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "tests.bench.harness", str(directory), more],
        cwd=ROOT,
        env=around,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
        start_new_session=True,  # a group of its own for precedence
    )
    assert done.returncode == 0, done.stderr
    document: Document = json.loads(done.stdout)
    assert not document["partial"], document.get("reason")
    return document


def one(document: Document, scenario: str, **wanted: Any) -> Result:
    """The only result of that scenario that has these fields."""
    (found,) = [
        result
        for result in document["results"]
        if result["scenario"] == scenario
        and all(result.get(name) == value for name, value in wanted.items())
    ]
    return found


def rate(result: Result) -> float:
    value = result["median_mb_per_s"]
    assert value is not None, result.get("failed")
    return value


def main(directory: str, options: str) -> None:
    from volumelease.bench.running import run

    chosen = json.loads(options)
    chosen["scenarios"] = tuple(chosen["scenarios"])
    print(json.dumps(run(directory, Options(**chosen))))


if __name__ == "__main__":
    precedence.ahead()
    main(*sys.argv[1:])
