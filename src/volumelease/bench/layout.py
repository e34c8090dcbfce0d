"""The files that jobs write and read, and how much of them can be trusted.

Later scenarios read what earlier ones wrote. What they read was verified first, byte for byte in
places that nobody could guess: a mount that gives back zeros, or another's bytes, is not measured.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from . import fio
from .contents import PERIOD
from .engine import Run
from .measuring import Measurement, kept_when_interrupted, repeat_seconds, repeated
from .problems import BenchProblem
from .scenario import Context

TRANSFER: Final = "volumelease.bench.transfer:run"
VERIFY: Final = "volumelease.bench.transfer:verify"
LAYOUT_SECONDS: Final = 10.0
VERIFY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """What each of some jobs does to its own file."""

    mode: str
    jobs: int
    block_bytes: int
    direct: bool
    at_random: bool = False

    def __str__(self) -> str:
        jobs = f"{self.jobs} job{'s' * (self.jobs > 1)}"
        return f"{jobs}, {block_name(self.block_bytes)}, {way(self.direct)}"


def way(direct: bool) -> str:
    """How it is called."""
    return "direct" if direct else "buffered"


def block_name(size: int) -> str:
    """A size in the binary units that blocks have: ``4 KiB``."""
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def file_name(number: int) -> str:
    return f"data-{number}"


def orders(context: Context, work: Work, *, once: bool = False) -> list[dict[str, Any]]:
    """The parameters of ``transfer.run`` for each job; ``once``: each file one time."""
    context.runs += 1
    return [_order(context, work, number, once) for number in range(work.jobs)]


def _order(context: Context, work: Work, number: int, once: bool) -> dict[str, Any]:
    name, size = file_name(number), context.options.file_bytes(number)
    written = context.extents.get(name, 0) // PERIOD * PERIOD
    return {
        "path": context.scratch.file(name, size),
        "mode": work.mode,
        "block_bytes": work.block_bytes,
        "direct": work.direct,
        "random": work.at_random,
        "file_bytes": size if work.mode == "write" and not work.at_random else written,
        "limit_bytes": size if once else 0,
        "seed": context.seed,
        "file": name,
        "run": context.runs,
    }


def transfer(context: Context, work: Work, seconds: float | None = None) -> Run:
    """One repeat of it, until it is steady or its time (by default, a repeat's) is over."""
    seconds = context.options.repeat_seconds if seconds is None else seconds
    if context.options.engine == "fio":
        return fio.run(context.engine, orders(context, work), seconds)
    run = context.engine.run(
        TRANSFER,
        orders(context, work),
        seconds=seconds,
        until_steady=True,
        watch=context.progress.rate,
    )
    if work.mode == "write":
        remember(context, run.answers)
    return run


def remember(context: Context, answers: Sequence[dict[str, Any]]) -> None:
    for number, answer in enumerate(answers):
        name = file_name(number)
        context.extents[name] = max(context.extents.get(name, 0), answer["extent"])


def lay_out(context: Context, jobs: int) -> None:
    """Have a file for each job, as large as it gets in ten seconds, and verify all of them.

    Errors: ``BenchProblem`` when a file doesn't hold what was written to it.
    """
    missing = [n for n in range(jobs) if context.extents.get(file_name(n), 0) < PERIOD]
    if missing:
        context.progress.step("laying out files")
        work = Work("write", jobs, 1 << 20, direct=False)
        run = context.engine.run(
            TRANSFER,
            orders(context, work, once=True),
            seconds=min(LAYOUT_SECONDS, context.options.repeat_seconds),
            watch=context.progress.rate,
        )
        remember(context, run.answers)
    unverified = [n for n in range(jobs) if file_name(n) not in context.verified]
    if unverified:
        context.progress.step("verifying what was written")
        verify(context, jobs)


def verify(context: Context, jobs: int) -> None:
    """Compare what the files of these jobs hold. Errors: ``BenchProblem``."""
    work = Work("read", jobs, 1 << 20, direct=False)
    found = orders(context, work)
    for order in found:
        if order["file_bytes"] == 0:
            raise BenchProblem(
                "the volume took not even 4 MiB of a file in the time there was",
                advice="Give it more time: volumelease bench DIR --full",
            )
        order["seconds"] = VERIFY_SECONDS
    for answer in context.engine.run(VERIFY, found).answers:
        if answer["wrong"]:
            raise BenchProblem(
                f"{answer['wrong']} of {answer['blocks']} blocks do not hold what was written to "
                "them: nothing that was read from there can be believed",
                advice="Don't keep data there; tell the operator of the volume",
            )
    context.verified.update(map(file_name, range(jobs)))


def knows_no_direct(error: OSError, work: Work) -> bool:
    """Whether a mount refused to go past the page cache."""
    return work.direct and error.errno in (errno.EINVAL, errno.EOPNOTSUPP)


NO_DIRECT: Final = "this mount knows no direct I/O"


def measure(context: Context, measurement: Measurement, work: Work) -> Measurement | None:
    """Repeat it until there is enough. None: this mount has no direct I/O."""
    cores, share = context.cores, context.share()
    seconds = repeat_seconds(context, share)

    def once() -> None:
        measurement.add(transfer(context, work, seconds), cores)

    try:
        with kept_when_interrupted(context, measurement):
            repeated(context, once, share)
    except OSError as error:
        if knows_no_direct(error, work):
            return None
        raise
    return measurement
