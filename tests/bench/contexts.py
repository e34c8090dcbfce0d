"""A context for scenarios on a directory of a test, with little of everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from volumelease.bench.engine import Engine
from volumelease.bench.options import MEBIBYTE, Options
from volumelease.bench.scenario import Context, Silent
from volumelease.bench.scratch import Scratch
from volumelease.bench.surroundings import mount_facts

SMALL = Options(
    "quick", repeats=2, repeat_seconds=0.6, budget_bytes=192 * MEBIBYTE, jobs=2, local=True
)


@contextmanager
def context_on(directory: Path, **changes: object) -> Iterator[Context]:
    """For scenarios below ``directory``; nothing is left at its end."""
    options = replace(SMALL, **changes)  # type: ignore[arg-type]  # fields of Options by name
    scratch = Scratch.make(str(directory), options.budget_bytes)
    try:
        with Engine() as engine:
            facts = mount_facts(str(directory), local=True)
            yield Context(scratch, options, Silent(), engine, facts, "5eed")
    finally:
        scratch.remove()
