"""Reads and writes of 4 KiB at random places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .document import Result
from .layout import Work, lay_out
from .scenario import Context, Measured
from .sequential import one

BLOCK: Final = 4096


def run(context: Context) -> Iterator[Result]:
    """Direct and buffered; by one job and by N. A quick run reads directly, and no more."""
    many = context.options.jobs
    ways = [("read", 1, True), ("read", many, True)]
    if context.options.pace != "quick":
        ways += [("read", 1, False), ("write", 1, True), ("write", many, True), ("write", 1, False)]
    lay_out(context, many)
    context.parts = len(ways)
    for mode, jobs, direct in ways:
        work = Work(mode, jobs, BLOCK, direct, at_random=True)
        yield one(context, f"random-{mode}", work, judged=False)


RANDOM: Final = Measured(run)
