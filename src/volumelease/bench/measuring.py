"""From runs of jobs to a result: repeats, their interval, flags and the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from .document import Flag, Repeat, Result
from .engine import Run
from .histograms import Counts, latency, merge
from .scenario import Context
from .statistics import interval, median
from .surroundings import is_the_volume
from .verdicts import verdict

GENERATOR_BOUND: Final = 0.9
"""Of a core: above it the generator may be what is measured."""
BURST: Final = 1.25
"""The fastest sample against the steady value, from which credit is suspected."""


@dataclass(slots=True)
class Measurement:
    """Repeats of one thing, as they come in."""

    scenario: str
    jobs: int
    block_bytes: int
    direct: bool
    repeats: list[Repeat] = field(default_factory=list)
    flags: set[Flag] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    latencies: Counts = field(default_factory=dict)
    slowest_ns: int = 0
    judged: bool = True
    """Whether a band of throughput says anything about it."""

    def add(self, run: Run) -> None:
        """One more repeat."""
        answers = run.answers
        for answer in answers:
            for name, count in answer["errors"].items():
                self.errors[name] = self.errors.get(name, 0) + count
            merge(self.latencies, {int(n): count for n, count in answer["latencies"].items()})
            self.slowest_ns = max(self.slowest_ns, answer["slowest_ns"])
            if answer["wrong_blocks"]:
                self.flags.add("wrong-data")
        if self.errors:
            self.flags.add("errors")
        if run.cpu_share > GENERATOR_BOUND:
            self.flags.add("generator-bound")
        self.repeats.append(_repeat(run))

    def result(self, context: Context) -> Result:
        """What the repeats say together. Without any, a result that failed."""
        rates = [repeat["mb_per_s"] for repeat in self.repeats if repeat["mb_per_s"] is not None]
        if not rates:
            return failed(self.scenario, self.jobs, self.block_bytes, self.direct, "it was not run")
        low, high = interval(rates)
        steady = all(repeat["steady"] for repeat in self.repeats)
        burst = _burst_ratio(self.repeats, median(rates))
        self._flag(context, steady, burst)
        result: Result = {
            "scenario": self.scenario,
            "jobs": self.jobs,
            "block_bytes": self.block_bytes,
            "direct": self.direct,
            "median_mb_per_s": median(rates),
            "ci95_mb_per_s": [low, high],
            "steady": steady,
            "burst_ratio": burst,
            "verdict": verdict(low, high, steady=steady, flags=self.flags) if self.judged else "",
            "flags": sorted(self.flags),
            "min_mb_per_s": min(rates),
            "max_mb_per_s": max(rates),
            "latency_us": latency(self.latencies, self.slowest_ns),
            "fsync_seconds": median([repeat["fsync_seconds"] for repeat in self.repeats]),
            "close_seconds": median([repeat["close_seconds"] for repeat in self.repeats]),
            "errors": self.errors,
            "repeats": self.repeats,
            "notes": self.notes,
            "engine": context.options.engine,
        }
        return result

    def _flag(self, context: Context, steady: bool, burst: float) -> None:
        if not steady:
            self.flags.add("not-steady")
        if burst > BURST:
            self.flags.add("burst")
        if len(self.repeats) < 3:
            self.flags.add("few-repeats")
        if not is_the_volume(context.mount):
            self.flags.add("not-the-volume")


def repeated(context: Context, once: Callable[[], None]) -> None:
    """Call ``once`` as often as a measurement is to be repeated, and at least once, while this
    scenario has time for one more."""
    longest = 0.0
    for number in range(context.options.repeats):
        if number and context.seconds_left() < longest:
            return
        context.scratch.beat()
        began = time.monotonic()
        once()
        longest = max(longest, time.monotonic() - began)


def failed(scenario: str, jobs: int, block_bytes: int, direct: bool, why: str) -> Result:
    """A result that has no value, and says why."""
    return {
        "scenario": scenario,
        "jobs": jobs,
        "block_bytes": block_bytes,
        "direct": direct,
        "median_mb_per_s": None,
        "ci95_mb_per_s": None,
        "steady": False,
        "burst_ratio": None,
        "verdict": "",
        "flags": ["errors"],
        "failed": why,
    }


def _repeat(run: Run) -> Repeat:
    def of(name: str) -> list[Any]:
        return [answer[name] for answer in run.answers]

    return {
        "mb_per_s": run.bytes_per_s / 1e6,
        "seconds": run.seconds,
        "bytes": sum(of("bytes")),
        "operations": sum(of("operations")),
        "errors": sum(sum(errors.values()) for errors in of("errors")),
        "steady": run.steady,
        "samples_mb_per_s": [sample / 1e6 for sample in run.samples],
        "fsync_seconds": max(of("fsync_seconds")),
        "close_seconds": max(of("close_seconds")),
        "first_done_seconds": min(of("done_seconds")),
        "last_done_seconds": max(of("done_seconds")),
        "cpu_share": run.cpu_share,
    }


def _burst_ratio(repeats: Sequence[Repeat], value: float) -> float:
    fastest = max((s for repeat in repeats for s in repeat["samples_mb_per_s"]), default=value)
    return fastest / value if value > 0 else 1.0
