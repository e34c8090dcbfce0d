"""Our engine against fio, on the same files in the same minutes: in turn, never one after the
other, since the same disk gives 0.83 to 1.95 of what it gave before (measured)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from . import fio
from .document import CrossCheck, Document
from .judging import flag
from .layout import TRANSFER, Work, knows_no_direct, lay_out, orders
from .options import MEBIBYTE
from .scenario import Context
from .statistics import median

DIFFERENT: Final = 0.10
PAIRS: Final = {"quick": 3, "normal": 5, "full": 9}
SECONDS: Final = {"quick": 1.0, "normal": 2.0, "full": 4.0}


def works(jobs: int) -> list[tuple[str, Work]]:
    """What is compared: what both can do alike."""
    return [
        ("sequential-write", Work("write", 1, MEBIBYTE, True)),
        ("sequential-read", Work("read", 1, MEBIBYTE, True)),
        ("sequential-read", Work("read", jobs, MEBIBYTE, True)),
        ("random-read", Work("read", 1, 4096, True, at_random=True)),
    ]


def cross_check(context: Context) -> Iterator[CrossCheck]:
    """Compare all of them. Errors: ``BenchProblem`` without fio."""
    fio.version()
    lay_out(context, context.options.jobs)
    for scenario, work in works(context.options.jobs):
        context.progress.step(f"cross-check with fio, {scenario}, {work}")
        try:
            yield compare(context, scenario, work, PAIRS[context.options.pace])
        except OSError as error:
            if not knows_no_direct(error, work):
                raise


def compare(context: Context, scenario: str, work: Work, pairs: int) -> CrossCheck:
    """One way of working, so many times in turn. ``ratio`` is the median of the pairs'.

    fio writes one block of memory again and again, so for once we do: a virtual disk takes what is
    in the processor's caches up to 1.5 times as fast as what is not (measured).
    """
    seconds = SECONDS[context.options.pace]
    own: list[float] = []
    theirs: list[float] = []
    for number in range(pairs):
        for is_own in turns(number):
            parameters = [{**order, "one_block": True} for order in orders(context, work)]
            (own if is_own else theirs).append(_once(context, parameters, seconds, is_own=is_own))
    ratio = median([first / second for first, second in zip(own, theirs, strict=True) if second])
    return {
        "scenario": scenario,
        "jobs": work.jobs,
        "block_bytes": work.block_bytes,
        "direct": work.direct,
        "builtin_mb_per_s": own,
        "fio_mb_per_s": theirs,
        "ratio": ratio,
        "differs": abs(ratio - 1) > DIFFERENT,
    }


def turns(pair: int) -> tuple[bool, bool]:
    """Whose turn it is in that pair (True: ours). Whoever comes second may find credit used up or
    a cache filled, so each does half of the time."""
    return (True, False) if pair % 2 else (False, True)


def _once(
    context: Context, parameters: list[dict[str, Any]], seconds: float, *, is_own: bool
) -> float:
    """MB/s of the whole of it."""
    context.scratch.beat()
    if is_own:
        run = context.engine.run(TRANSFER, parameters, seconds=seconds, whole=True)
        return run.bytes_per_s / 1e6
    return float(fio.run(context.engine, parameters, seconds).answers[0]["bytes_per_s"]) / 1e6


def differences(document: Document) -> list[str]:
    """A note for each way of working in which both engines disagree; its results are flagged."""
    said = []
    for check in document.get("cross_check", []):
        if not check["differs"]:
            continue
        said.append(
            f"{check['scenario']}, {check['jobs']} jobs: this engine measures "
            f"{check['ratio']:.2f} of what fio does"
        )
        for result in document["results"]:
            if all(result[name] == check[name] for name in _SAME):
                flag(result, "fio-differs")
    return said


_SAME: Final = ("scenario", "jobs", "block_bytes", "direct")
