"""From runs of jobs to a result: repeats, their interval, flags and the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from .document import Flag, Repeat, Result
from .engine import SAMPLE_SECONDS, Run
from .histograms import Counts, latency, merge
from .problems import Interrupted
from .scenario import Context
from .statistics import LEAST_SAMPLES, interval, median, variation
from .surroundings import flags_of_the_place
from .verdicts import verdict

GENERATOR_BOUND: Final = 0.9
"""Of a core: above it the generator may be what is measured."""
BURST: Final = 1.25
"""The fastest half second against the steady value, from which credit is suspected: a volume of
200 MB/s shows 2,345 in that time (measured). Without a steady value it would be noise."""
RESIDENT: Final = 0.02
"""The share of a file in the page cache before it is read, from which the cache is suspected."""
LEAST_SECONDS: Final = (LEAST_SAMPLES + 1) * SAMPLE_SECONDS + 0.25
"""In less, little can become steady: the first sample has what credit there is, and each comes a
little late."""
NO_TIME: Final = "no time was left for it"
BEHIND: Final = 0.05
"""The share of its time that a writer's last fsync may take."""
ALIKE: Final = 0.10
"""The variation of repeats of fixed work, up to which they count as steady."""


@dataclass(slots=True)
class Measurement:
    """Repeats of one thing, as they come in.

    ``judged``: a band of throughput says something about it. ``counts_operations``: what its jobs
    count are operations, and there is no throughput. ``fixed_work``: a repeat is one piece of
    work from its beginning to its end, and not a sample of something that goes on.
    """

    scenario: str
    jobs: int
    block_bytes: int
    direct: bool
    variant: str = ""
    judged: bool = True
    counts_operations: bool = False
    fixed_work: bool = False
    extras: dict[str, Any] = field(default_factory=dict)
    repeats: list[Repeat] = field(default_factory=list)
    flags: set[Flag] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    latencies: Counts = field(default_factory=dict)
    slowest_ns: int = 0

    def add(self, run: Run, cores: int = 1 << 10) -> None:
        """One more repeat. ``cores``: those of the machine."""
        for answer in run.answers:
            for name, count in answer.get("errors", {}).items():
                self.errors[name] = self.errors.get(name, 0) + count
            merge(self.latencies, {int(n): c for n, c in answer.get("latencies", {}).items()})
            self.slowest_ns = max(self.slowest_ns, answer.get("slowest_ns", 0))
            if answer.get("wrong_blocks"):
                self.flags.add("wrong-data")
            if not self.direct and answer.get("resident_share", 0.0) > RESIDENT:
                self.flags.add("cache-suspected")
        if run.cpu_share > GENERATOR_BOUND or run.cpu_total > GENERATOR_BOUND * cores:
            self.flags.add("generator-bound")
        self.repeats.append(self._repeat(run))
        if not self.fixed_work:
            self._count_what_was_too_slow_to_count(self.repeats[-1])
            self._count_what_came_behind(self.repeats[-1])

    def _count_what_was_too_slow_to_count(self, repeat: Repeat) -> None:
        """A buffered write counts once 36 MiB are behind it, and the first sample has less than
        was written. Where there is no second one, the rate is that of all bytes in all of the
        time, with the last fsync, if that is more: so much did reach the volume."""
        whole, rate = repeat["last_done_seconds"], repeat["mb_per_s"]
        if rate is None or not whole or len(repeat["samples_mb_per_s"]) > 1:
            return
        self._rate_of(repeat, max(rate, repeat["bytes"] / whole / 1e6))

    def _rate_of(self, repeat: Repeat, mb_per_s: float) -> None:
        repeat["mb_per_s"] = mb_per_s
        repeat["ops_per_s"] = mb_per_s * 1e6 / self.block_bytes if self.block_bytes else 0.0

    def _count_what_came_behind(self, repeat: Repeat) -> None:
        """What a client still held when its writer had ended was not on the volume yet: where the
        last fsync took long, the rate is that of all bytes in all of the time, if that is less.

        MooseFS keeps up to 128 MiB back, from direct writes too: 150 MB/s for 1.75 s, and then an
        fsync of 2.6 s (measured).
        """
        whole, rate = repeat["last_done_seconds"], repeat["mb_per_s"]
        if rate is None or repeat["fsync_seconds"] <= BEHIND * whole:
            return
        honest = repeat["bytes"] / whole / 1e6
        if honest < rate:
            self.flags.add("written-behind")
            self._rate_of(repeat, honest)

    def result(self, context: Context) -> Result:
        """What the repeats say together. Without any, a result that failed."""
        if not self.repeats:
            return self.failed("it was not run")
        rates = [self._value(repeat) for repeat in self.repeats]
        low, high = interval(rates)
        settled = self._settled(rates)
        # An interval of one repeat has no width, and would pass for certain.
        steady = settled and len(rates) > 1
        burst = _burst_ratio(self.repeats, median(rates))
        self._flag(context, settled, burst)
        result = self._frame()
        result["steady"] = steady
        result["burst_ratio"] = burst
        if self.counts_operations:
            result["median_ops_per_s"] = median(rates)
            result["ci95_ops_per_s"] = [low, high]
        else:
            result["median_mb_per_s"] = median(rates)
            result["ci95_mb_per_s"] = [low, high]
            result["min_mb_per_s"], result["max_mb_per_s"] = min(rates), max(rates)
            if self.judged:
                result["verdict"] = verdict(low, high, steady=steady, flags=self.flags)
        result["flags"] = sorted(self.flags)
        result["fsync_seconds"] = median([repeat["fsync_seconds"] for repeat in self.repeats])
        result["close_seconds"] = median([repeat["close_seconds"] for repeat in self.repeats])
        result["engine"] = context.options.engine
        self._more(result)
        return result

    def failed(self, why: str, *flags: Flag) -> Result:
        """A result that has no value, and says why."""
        result = self._frame()
        result["flags"] = sorted({*self.flags, *(flags or ("errors",))})
        result["failed"] = why
        return result

    def _frame(self) -> Result:
        result: Result = {
            "scenario": self.scenario,
            "jobs": self.jobs,
            "block_bytes": self.block_bytes,
            "direct": self.direct,
            "median_mb_per_s": None,
            "ci95_mb_per_s": None,
            "steady": False,
            "burst_ratio": None,
            "verdict": "",
            "flags": [],
        }
        if self.variant:
            result["variant"] = self.variant
        return result

    def _more(self, result: Result) -> None:
        if self.latencies:
            result["latency_us"] = latency(self.latencies, self.slowest_ns)
        if self.block_bytes and self.latencies and not self.counts_operations:
            rates = [repeat.get("ops_per_s", 0.0) for repeat in self.repeats]
            result["median_ops_per_s"] = median(rates)
            result["ci95_ops_per_s"] = list(interval(rates))
        result["errors"] = self.errors
        result["repeats"] = self.repeats
        result["notes"] = self.notes
        result.update(self.extras)  # type: ignore[typeddict-item]  # fields of one scenario

    def _value(self, repeat: Repeat) -> float:
        rate = repeat.get("ops_per_s") if self.counts_operations else repeat["mb_per_s"]
        return rate or 0.0

    def _settled(self, rates: Sequence[float]) -> bool:
        """Whether what was seen became steady, however little that was."""
        if self.fixed_work:
            return len(rates) < 2 or variation(rates) <= ALIKE
        return all(repeat["steady"] for repeat in self.repeats)

    def _flag(self, context: Context, settled: bool, burst: float) -> None:
        if self.errors:
            self.flags.add("errors")
        if not settled:
            self.flags.add("not-steady")
        has_value = settled and (len(self.repeats) > 1 or not self.fixed_work)
        if burst > BURST and has_value and not self.counts_operations:
            self.flags.add("burst")
        if len(self.repeats) < 3:
            self.flags.add("few-repeats")
        self.flags.update(flags_of_the_place(context.mount))

    def _repeat(self, run: Run) -> Repeat:
        def of(name: str) -> list[Any]:
            return [answer.get(name, 0.0) for answer in run.answers]

        repeat: Repeat = {
            "mb_per_s": None if self.counts_operations else run.bytes_per_s / 1e6,
            "seconds": run.seconds,
            "bytes": sum(of("bytes")),
            "operations": sum(of("operations")),
            "errors": sum(sum(a.get("errors", {}).values()) for a in run.answers),
            "steady": run.steady,
            "samples_mb_per_s": [sample / 1e6 for sample in run.samples],
            "fsync_seconds": max(of("fsync_seconds")),
            "close_seconds": max(of("close_seconds")),
            "first_done_seconds": min(of("done_seconds")),
            "last_done_seconds": max(of("done_seconds")),
            "cpu_share": run.cpu_share,
        }
        if self.counts_operations:
            repeat["ops_per_s"], repeat["samples_mb_per_s"] = run.bytes_per_s, []
        elif self.block_bytes:
            repeat["ops_per_s"] = run.bytes_per_s / self.block_bytes
        return repeat


def repeat_seconds(context: Context, share_seconds: float) -> float:
    """How long one repeat may take to become steady, so that there is time for all of them; never
    less than it takes at best."""
    return min(
        context.options.repeat_seconds, max(LEAST_SECONDS, share_seconds / context.options.repeats)
    )


def repeated(context: Context, once: Callable[[], None], seconds: float | None = None) -> None:
    """Call ``once`` as often as a measurement is to be repeated, and at least once, while
    ``seconds`` (default: what this scenario has left) last for one more."""
    longest = 0.0
    until = time.monotonic() + (context.seconds_left() if seconds is None else seconds)
    for number in range(context.options.repeats):
        began = time.monotonic()
        if number and began + longest > until:
            return
        context.scratch.beat()
        once()
        longest = max(longest, time.monotonic() - began)


@contextmanager
def kept_when_interrupted(context: Context, measurement: Measurement) -> Iterator[None]:
    """Leave the repeats that are done to the document, when the run is asked to end."""
    try:
        yield
    except (KeyboardInterrupt, Interrupted):
        if measurement.repeats:
            measurement.flags.add("interrupted")
            context.unfinished.append(measurement.result(context))
        raise


def failed(scenario: str, jobs: int, block_bytes: int, direct: bool, why: str) -> Result:
    """A result that has no value, and says why."""
    return Measurement(scenario, jobs, block_bytes, direct).failed(why)


def _burst_ratio(repeats: Sequence[Repeat], value: float) -> float:
    halves = [
        (first + second) / 2
        for repeat in repeats
        for first, second in pairwise(repeat["samples_mb_per_s"])
    ]
    return max(halves, default=value) / value if value > 0 else 1.0
