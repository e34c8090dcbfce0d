"""What leases cost on a mount: the same writes without and with them, their own times, and the
share of the work that they take at each size of a unit; and whether locks leave this host."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from volumelease.bells.locality import Locks, locks_in
from volumelease.errors import LeaseError, VolumeFull
from volumelease.paths.mounts import judge, mount_of

from . import lease_jobs
from .document import Latency, Repeat, Result
from .engine import Run
from .histograms import Counts, bucket, latency, merge, percentile
from .lease_jobs import BLOCK, DATA
from .lease_repeats import handed_over, rates, taken, written
from .measuring import NO_TIME, failed
from .options import MEBIBYTE
from .problems import BenchProblem, explain
from .scenario import Context, Measured
from .statistics import interval, median, ratio_interval, variation
from .surroundings import flags_of_the_place

NAME: Final = "lease-cost"
VOLUME: Final = "leased"
WAYS: Final = ("no lease", "a lease a file", "one lease for all files")
UNIT_BYTES: Final = 16 * MEBIBYTE
UNITS: Final = tuple(size * MEBIBYTE for size in (16, 64, 256, 1024, 4096, 10240))
LEASES: Final = 300
"""Of one repeat; p99 of a few repeats is then more than the slowest."""
TURNS: Final = 40
LEAST_SECONDS: Final = 0.3
MOST_SECONDS: Final = 2.0
STEADY: Final = 0.1
"""Coefficient of variation of repeats up to which they count as steady."""

_TASK: Final = "volumelease.bench.lease_jobs:"


def cost(context: Context) -> Iterator[Result]:
    """Writers first: what a lease takes is then set against how fast they were."""
    if reason := _why_not(context):
        yield failed(NAME, 1, 0, False, reason)
        return
    root = context.scratch.directory(VOLUME)
    try:
        os.mkdir(f"{root}/{DATA}", 0o700)
        lease_jobs.found(root)
        trial = Trial(context, root)
        yield from trial.writers()
        yield trial.leases()
        yield trial.hand_off()
    except BenchProblem:
        raise  # that says nothing about leases
    except VolumeFull:
        explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), root)
    except LeaseError as error:
        yield failed(NAME, 1, 0, False, f"no leases here: {error.what}")
    finally:
        # What their sessions had open is open until they end, and libfuse removes no such file:
        # it gives it another name in a directory that then can't be removed.
        context.engine.dismiss()
        with contextlib.suppress(OSError):  # else it goes with the rest, or that tells why not
            context.scratch.drop(VOLUME)


def _why_not(context: Context) -> str:
    verdict = judge(mount_of(context.scratch.path))
    return "" if verdict.suitable != "refused" else f"no leases here: {verdict.reason}"


@dataclass(slots=True)
class Trial:
    """Leases on one volume in the scratch, whose ``root`` it is."""

    context: Context
    root: str
    direct: bool = True
    alone: list[float] = field(default_factory=list)
    """MB/s of one writer without leases."""
    longest: float = 0.0
    """Seconds of a run so far, with its sessions, which take a while on a slow mount."""
    last: float = 0.0
    """Those of the last one."""

    # ---- the same writes

    def writers(self) -> Iterator[Result]:
        """All ways of writing in turns, for 1 to N writers."""
        counts = _counts(self.context)
        for jobs in counts:
            self.context.progress.step(f"{NAME}, {jobs} writer{'s' * (jobs > 1)}")
            if jobs > 1 and not self._time_for(len(WAYS) + 1):
                yield self._left_out(f"{jobs} writers", jobs)
                continue
            seconds = self._seconds_for(len(counts))
            repeats: dict[str, list[Repeat]] = {way: [] for way in WAYS}
            for number in range(self.context.options.repeats):
                if number and not self._time_for(len(WAYS) + 1):
                    break
                for way in WAYS if number % 2 else reversed(WAYS):
                    if number or self._time_for(2):
                        self.context.scratch.beat()
                        repeats[way].append(self._write(way, jobs, seconds))
            if jobs == 1:
                self.alone = rates(repeats)[WAYS[0]]
            for way in WAYS:
                done = bool(repeats[way])
                yield self._written(way, jobs, repeats) if done else self._left_out(way, jobs)

    def _seconds_for(self, counts: int) -> float:
        """Of one run, so that all of them take half of the time that there is."""
        runs = self.context.options.repeats * len(WAYS) * counts
        return self._at_most(MOST_SECONDS, self.context.seconds_left() / 2 / runs)

    def _time_for(self, runs: int) -> bool:
        """The longest one counts; writers leave one to acquiring, which is never left out."""
        return self.context.seconds_left() >= runs * self.longest

    def _left_out(self, variant: str, jobs: int) -> Result:
        result = self._result(variant, jobs, {})
        result["flags"].append("short")
        result["failed"] = NO_TIME
        return result

    def _run(self, task: str, orders: list[dict[str, Any]], seconds: float) -> Run:
        began = time.monotonic()
        try:
            return self.context.engine.run(f"{_TASK}{task}", orders, seconds=seconds)
        finally:
            self.last = time.monotonic() - began
            self.longest = max(self.longest, self.last)

    @staticmethod
    def _at_most(most: float, share: float) -> float:
        """Seconds of one run. Below the least, hardly a unit would be written."""
        return min(most, max(LEAST_SECONDS, share))

    def _write(self, way: str, jobs: int, seconds: float) -> Repeat:
        orders = [self._order(way, number) for number in range(jobs)]
        try:
            run = self._run("write_units", orders, seconds)
        except OSError as error:
            if error.errno != errno.EINVAL or not self.direct:
                raise
            self.direct = False  # no O_DIRECT on this mount: each unit is synced anyway
            return self._write(way, jobs, seconds)
        return written(run)

    def _order(self, way: str, number: int) -> dict[str, Any]:
        path = self.context.scratch.file(f"{VOLUME}/{DATA}/{number}", UNIT_BYTES)
        leased = {WAYS[0]: "", WAYS[1]: path, WAYS[2]: f"{self.root}/{DATA}"}
        return {
            "root": self.root,
            "path": path,
            "leased": leased[way],
            "unit_bytes": UNIT_BYTES,
            "direct": self.direct,
            "seed": self.context.seed,
        }

    def _written(self, way: str, jobs: int, repeats: dict[str, list[Repeat]]) -> Result:
        known = rates(repeats)
        ours, bare = known[way], known[WAYS[0]]
        steady = variation(ours) <= STEADY
        lease: dict[str, Any] = {}
        if bare and min(bare) > 0:
            lease["of_no_lease"] = median(ours) / median(bare)
            lease["of_no_lease_ci95"] = list(ratio_interval(ours, bare))
        result = self._result(way, jobs, lease)
        result["block_bytes"], result["direct"] = BLOCK, self.direct
        result["median_mb_per_s"], result["ci95_mb_per_s"] = median(ours), list(interval(ours))
        result["min_mb_per_s"], result["max_mb_per_s"] = min(ours), max(ours)
        result["steady"], result["repeats"] = steady, repeats[way]
        if not steady:
            result["flags"].append("not-steady")
        if len(ours) < 3:
            result["flags"].append("few-repeats")
        return result

    # ---- leases by themselves

    def leases(self) -> Result:
        """Acquire and release, and the share of the work at each size of a unit."""
        self.context.progress.step(f"{NAME}, acquire and release")
        every: dict[str, Counts] = {"acquire": {}, "release": {}, "both": {}}
        slowest = dict.fromkeys(every, 0)
        medians: list[float] = []
        done: list[Repeat] = []
        repeats = self.context.options.repeats
        seconds = self._at_most(MOST_SECONDS, self.context.seconds_left() / 2 / repeats)
        for number in range(repeats):
            if number and not self._time_for(2):
                break
            run = self._run("take", [{"root": self.root, "most": LEASES}], seconds)
            (answer,) = run.answers
            counts = {name: _counted(answer[name]) for name in every}
            medians.append(percentile(counts["both"], 0.5) / 1e9)
            done.append(taken(run, sum(counts["both"].values()), medians[-1]))
            for name, known in every.items():
                merge(known, counts[name])
                slowest[name] = max(slowest[name], answer[name]["slowest_ns"])
        lease: dict[str, Any] = {
            f"{name}_us": latency(every[name], slowest[name]) for name in ("acquire", "release")
        }
        lease |= {"cost_seconds": median(medians), "cost_ci95_seconds": list(interval(medians))}
        if self.alone and min(self.alone) > 0:
            lease |= shares(medians, self.alone)
        result = self._result("acquire and release", 1, lease)
        result["latency_us"] = latency(every["both"], slowest["both"])
        result["repeats"] = done
        return result

    def hand_off(self) -> Result:
        """From the end of one holder to the beginning of the next, between two processes."""
        self.context.progress.step(f"{NAME}, hand-off")
        if self.context.seconds_left() < self.last:
            return self._left_out("hand-off", 2)
        orders = [{"root": self.root, "most": TURNS}] * 2
        seconds = self._at_most(4 * MOST_SECONDS, self.context.seconds_left())
        run = self._run("relay", orders, seconds)
        found = hand_offs([answer["turns"] for answer in run.answers])
        result = self._result("hand-off", 2, {})
        result["notes"] = ["Between two processes of this host; between hosts it takes longer."]
        if found:
            times = _latency_of(found)
            result["latency_us"], result["lease"] = times, {"hand_off_us": times}
            result["repeats"] = handed_over(found, self.context.options.repeats)
        else:
            result["failed"] = "no hand-off came about in time"
        return result

    def _result(self, variant: str, jobs: int, lease: dict[str, Any]) -> Result:
        return {
            "scenario": NAME,
            "variant": variant,
            "jobs": jobs,
            "block_bytes": 0,
            "direct": False,
            "median_mb_per_s": None,
            "ci95_mb_per_s": None,
            "steady": True,
            "burst_ratio": None,
            "verdict": "",
            "flags": flags_of_the_place(self.context.mount),
            "lease": lease,
        }


def _counts(context: Context) -> list[int]:
    """1 to N: both ends where time is short, else each power of two between."""
    most = context.options.jobs
    if context.options.pace == "quick":
        return sorted({1, most})
    return sorted({1, most, *(2**power for power in range(1, int(math.log2(max(2, most))) + 1))})


def shares(lease_seconds: Sequence[float], mb_per_s: Sequence[float]) -> dict[str, Any]:
    """What part of the work a lease of that cost is, where each unit is written at that speed.

    ``at_most`` takes the worse end of both intervals: a dear lease, and a fast volume, where it
    weighs more. So does the size from which a lease is under 1 %.
    """
    low_high = interval(lease_seconds)[1], interval(mb_per_s)[1]
    middle, speed = median(lease_seconds), median(mb_per_s)

    def part(unit: int, seconds: float, rate: float) -> float:
        return seconds / (seconds + unit / 1e6 / rate)

    exact = 99 * low_high[0] * low_high[1] * 1e6
    return {
        "work_mb_per_s": speed,
        "shares": [
            {
                "unit_bytes": unit,
                "share": part(unit, middle, speed),
                "at_most": part(unit, *low_high),
            }
            for unit in UNITS
        ],
        "under_one_percent_from_bytes": math.ceil(exact / MEBIBYTE) * MEBIBYTE,
    }


def hand_offs(turns: Sequence[Sequence[Sequence[float]]]) -> list[float]:
    """Seconds from the end of each turn to the beginning of the next, where somebody else had
    asked before that end."""
    every = sorted(
        (begun, asked, ended, number)
        for number, mine in enumerate(turns)
        for asked, begun, ended in mine
    )
    return [
        begun - ended
        for (_, _, ended, one), (begun, asked, _, other) in pairwise(every)
        if one != other and asked < ended
    ]


def _counted(answer: dict[str, Any]) -> Counts:
    return {int(number): count for number, count in answer["counts"].items()}


def _latency_of(seconds: Sequence[float]) -> Latency:
    counts: Counts = {}
    for second in seconds:
        number = bucket(round(second * 1e9))
        counts[number] = counts.get(number, 0) + 1
    return latency(counts, round(max(seconds) * 1e9))


def locks(context: Context) -> Iterator[Result]:
    """Whether locks leave this host: what ``volumelease doctor`` says too."""
    context.progress.step("locks")
    place = context.scratch.directory("locks")
    try:
        found = locks_in(place, shared=context.mount["network"])
    finally:
        context.scratch.drop("locks")
    result = failed("locks", 1, 0, False, "")
    del result["failed"]
    result["flags"] = ["locks-local-only"] if found.local_only else []
    result["steady"] = True
    result["lease"] = {
        "local_only": found.local_only,
        "excludes": found.excludes,
        "lock_us": found.lock_seconds * 1e6,
        "symlink_us": found.symlink_seconds * 1e6,
        "told": told(found, shared=context.mount["network"]),
    }
    yield result


def told(found: Locks, *, shared: bool) -> str:
    """What was found of locks, in a sentence."""
    if found.trouble:
        return f"POSIX locks don't work here: {found.trouble}."
    times = f"lock and unlock {found.lock_seconds * 1e6:,.0f} us, "
    times += f"a symlink {found.symlink_seconds * 1e6:,.0f} us (p50)"
    if not found.excludes:
        return f"POSIX locks exclude nobody here; {times}."
    if found.local_only:
        return (
            f"locks are LOCAL ONLY: they never leave this host, they are too cheap for it; {times}."
        )
    where = "processes" if shared else "processes of this host"
    return f"POSIX locks exclude other {where}; {times}."


COST: Final = Measured(cost, weight=2.0)
LOCKS: Final = Measured(locks, weight=0.2)
