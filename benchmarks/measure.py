"""Alternating measurement: contenders take turns in short rounds, so that whatever the machine
does meanwhile happens to all of them. A then B is no comparison (0.83-1.95 on one disk)."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Samples:
    """Durations of one contender, in seconds."""

    name: str
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)]


def alternate(
    contenders: Mapping[str, Callable[[], Any]], rounds: int, calls: int
) -> dict[str, Samples]:
    """``calls`` timed calls of each contender, ``rounds`` times over, after one round to warm
    up; every other round backwards."""
    results = {name: Samples(name) for name in contenders}
    for number in range(rounds + 1):
        order = list(contenders.items())
        for name, call in order if number % 2 else reversed(order):
            for _ in range(calls):
                started = time.perf_counter()
                call()
                if number:
                    results[name].seconds.append(time.perf_counter() - started)
    return results


def environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "command": " ".join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip(),
    }


@dataclass(frozen=True, slots=True)
class Goal:
    """``ours`` must cost at most ``factor`` times ``theirs``."""

    ours: str
    theirs: str
    factor: float


@dataclass(frozen=True, slots=True)
class Limit:
    """``name`` may take ``seconds``; the median of it, or with ``slowest`` each time."""

    name: str
    seconds: float
    slowest: bool = False

    def measured(self, results: Mapping[str, Samples]) -> float:
        samples = results[self.name]
        return max(samples.seconds) if self.slowest else samples.median


def report(
    title: str,
    where: str,
    results: Mapping[str, Samples],
    goals: Sequence[Goal],
    target: Path | None,
    limits: Sequence[Limit] = (),
) -> bool:
    """Print medians, p99 and ratios; write the JSON. Returns whether every goal was met."""
    print(f"\n{title} ({where})")
    width = max(len(name) for name in results)
    for name, samples in results.items():
        print(
            f"  {name:<{width}}  p50 {samples.median * 1e6:10.1f} us"
            f"  p99 {samples.p99 * 1e6:10.1f} us  n {len(samples.seconds)}"
        )
    ratios: list[dict[str, Any]] = []
    for goal in goals:
        ratio = results[goal.ours].median / results[goal.theirs].median
        met = ratio <= goal.factor
        ratios.append(
            {"ours": goal.ours, "theirs": goal.theirs, "ratio": ratio, "goal": goal.factor}
        )
        print(
            f"  {goal.ours} / {goal.theirs}: {ratio:.2f} (goal <= {goal.factor:.2f})"
            f" {'met' if met else 'MISSED'}"
        )
    limits = [limit for limit in limits if limit.name in results]
    for limit in limits:
        took = limit.measured(results)
        print(
            f"  {limit.name}{', the slowest' * limit.slowest}: {took * 1e6:.1f} us"
            f" (goal <= {limit.seconds * 1e6:g} us) {'met' if took <= limit.seconds else 'MISSED'}"
        )
    if target is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(
            json.dumps(
                {
                    "schema": 1,
                    "title": title,
                    "where": where,
                    "environment": environment(),
                    "results": {
                        name: {
                            "p50_us": samples.median * 1e6,
                            "p99_us": samples.p99 * 1e6,
                            "n": len(samples.seconds),
                        }
                        for name, samples in results.items()
                    },
                    "ratios": ratios,
                    "limits": [
                        {
                            "name": limit.name,
                            "slowest": limit.slowest,
                            "measured_us": limit.measured(results) * 1e6,
                            "most_us": limit.seconds * 1e6,
                        }
                        for limit in limits
                    ],
                },
                indent=1,
            )
            + "\n"
        )
    return all(item["ratio"] <= item["goal"] for item in ratios) and all(
        limit.measured(results) <= limit.seconds for limit in limits
    )
