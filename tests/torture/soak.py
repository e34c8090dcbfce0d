"""Many workers for a long time and nothing going wrong: what they use must be flat.

``python -m tests.torture.soak --minutes 20 --workers 50 [--save]``; exit code 1 if something grew.
Half of the workers use a volume that has a log, with a Redis as its bell, half one whose leases
the Redis keeps; every fifth is a client of a daemon. Without root or FUSE the volumes are local
directories.

A trend is judged by medians: of the samples after the warm-up, the last third against the first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

from tests.bed import MooseFsBed, missing
from tests.bed.redis import RedisServer, missing_redis
from volumelease import __version__

from .crew import Started, environment, hand, python, wait_for_socket
from .founding import AUTHORITIES, make_volume
from .notes import Signs

RESULTS: Final = Path(__file__).parents[2] / "benchmarks/results/torture"
WARM_UP: Final = 0.3
"""Of the whole time: retired segments, versions and metrics of dead sessions are kept for a while
before the first of them go."""

START_SECONDS: Final = 180.0
HOSTS: Final = 3
TTL: Final = 15.0


class Bound(NamedTuple):
    """How much a median may grow: so much of itself, and so much besides."""

    share: float
    slack: float

    def holds(self, first: float, last: float) -> bool:
        return last <= first * (1 + self.share) + self.slack


BOUNDS: Final = {
    "memory_bytes": Bound(0.05, 4e6),
    "descriptors": Bound(0.0, 4.0),
    "threads": Bound(0.0, 4.0),
    "files_on_volumes": Bound(0.15, 100.0),
    "keys_in_redis": Bound(0.05, 20.0),
    "redis_memory_bytes": Bound(0.10, 1e6),
}
"""The first three of each process, the others of all together. An allocator keeps some MB now and
then, threads and connections come and go with waiters, and a log grows by whole segments of 256
entries before one goes."""


@dataclass(slots=True)
class Series:
    """One figure over time."""

    name: str
    who: str
    values: list[float] = field(default_factory=list)

    def ends(self) -> tuple[float, float]:
        """The medians of the first and the last third after the warm-up."""
        warm = self.values[int(len(self.values) * WARM_UP) :]
        third = max(1, len(warm) // 3)
        return median(warm[:third]), median(warm[-third:])

    @property
    def flat(self) -> bool:
        return BOUNDS[self.name].holds(*self.ends())

    def __str__(self) -> str:
        first, last = self.ends()
        return f"{self.name} of {self.who}: {first:,.0f} -> {last:,.0f}"


class Figures:
    """All series of a soak."""

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], Series] = {}

    def note(self, name: str, who: str, value: float) -> None:
        self.series.setdefault((name, who), Series(name, who)).values.append(value)

    def grown(self) -> list[Series]:
        return [series for series in self.series.values() if not series.flat]

    def named(self, name: str) -> list[Series]:
        return [series for series in self.series.values() if series.name == name]


# ---- what is measured


def of_process(pid: int) -> dict[str, float]:
    """Errors: ``OSError`` when it has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    words = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "memory_bytes": 1024.0 * int(words["VmRSS"].split()[0]),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(words["Threads"]),
    }


def names_under(folder: Path) -> int:
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


# ---- the ground


@contextmanager
def mounts(*, local: bool) -> Iterator[tuple[str, list[Path]]]:
    """A directory as each of three hosts sees it, and what carries it."""
    if missing() is None and not local:
        with MooseFsBed(HOSTS) as bed:
            yield "moosefs", [host.mount for host in bed.hosts]
    else:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            yield "local", [Path(folder)] * HOSTS


class Soak:
    """``with Soak(...) as soak:`` the fleet runs. ``leaks``: what the first worker loses."""

    def __init__(
        self,
        workers: int,
        *,
        pace: float = 5.0,
        ttl: float = TTL,
        leaks: Sequence[str] = (),
        local: bool = False,
    ) -> None:
        self.figures = Figures()
        self.file_system = ""
        self._workers, self._pace, self._ttl, self._leaks = workers, pace, ttl, leaks
        self._local = local
        self._stack = ExitStack()
        self._started: dict[str, Started] = {}

    def __enter__(self) -> Soak:
        with self._stack as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
            self.redis = stack.enter_context(RedisServer(aof=False))
            self.file_system, self._mounts = stack.enter_context(mounts(local=self._local))
            for authority in AUTHORITIES:
                make_volume(self._mounts[0] / authority, self._ttl, authority, self.redis.url)
            stack.callback(self._end_all)
            for number in range(HOSTS):
                self._start_daemon(number)
            for number in range(self._workers):
                self._start_hand(number)
            self._until_all_began()
            self._stack = stack.pop_all()
        return self

    def _until_all_began(self) -> None:
        """Who is still loading its modules grows."""
        signs, until = Signs(self._folder), time.monotonic() + START_SECONDS
        while not all(signs.given(f"began-own-{number}") for number in range(self._workers)):
            if time.monotonic() > until:
                raise AssertionError(f"not everybody had a first lease in {START_SECONDS:g} s")
            time.sleep(0.2)

    def __exit__(self, *error: object) -> None:
        Signs(self._folder).give("enough")
        Signs(self._folder).give("end")
        self._stack.close()

    def _end_all(self) -> None:
        for started in self._started.values():
            started.end()

    def _environment(self, number: int, authority: str, **more: str) -> dict[str, str]:
        mount = self._mounts[number % HOSTS] / authority
        url = {"REDIS_URL": self.redis.url, "AUTHORITY": authority}
        return environment(mount, self._folder, self._ttl, **url, **more)

    def _start_daemon(self, number: int) -> None:
        authority = AUTHORITIES[number % 2]
        socket = self._folder / f"daemon-{number}" / "daemon.sock"
        around = self._environment(number, authority, SOCKET=str(socket))
        log = self._folder / f"daemon-{number}.log"
        daemon = Started(python("volumelease", "daemon"), around, log)
        self._started[f"daemon-{number}"] = daemon
        wait_for_socket(socket, daemon)

    def _start_hand(self, number: int) -> None:
        host, authority = number % HOSTS, AUTHORITIES[number % 2]
        more = {}
        if number % 5 == 4:
            authority = AUTHORITIES[host % 2]
            more["SOCKET"] = str(self._folder / f"daemon-{host}" / "daemon.sock")
        facts = {
            "mount": str(self._mounts[host] / authority),
            "folder": str(self._folder),
            "seed": number,
            "ttl": self._ttl,
            "pace": self._pace,
            "own": f"own-{number}",
            "retention": 30.0,
            "brief": True,
        }
        if number == 0 and self._leaks:
            facts["leaks"] = list(self._leaks)
        around = self._environment(number, authority, **more)
        self._started[f"hand-{number}"] = Started(
            hand(facts), around, self._folder / f"hand-{number}.log"
        )

    # ---- looking

    @property
    def leases(self) -> int:
        """How many were had so far."""
        return Signs(self._folder).count("leases")

    def look(self) -> None:
        for who, started in self._started.items():
            if not started.running:
                raise AssertionError(f"{who} has ended: {started.said[-2000:]}")
            for name, value in of_process(started.pid).items():
                self.figures.note(name, who, value)
        names = sum(names_under(self._mounts[0] / a / ".volumelease") for a in AUTHORITIES)
        self.figures.note("files_on_volumes", "all", names)
        client = self.redis.client()
        self.figures.note("keys_in_redis", "all", client.dbsize())
        self.figures.note("redis_memory_bytes", "all", client.info("memory")["used_memory"])

    def watch(self, seconds: float, every: float, say: Callable[[str], None]) -> None:
        until = time.monotonic() + seconds
        told = time.monotonic()
        while time.monotonic() < until:
            time.sleep(every)
            self.look()
            if time.monotonic() > told + 60:
                told = time.monotonic()
                say(self.now_in_words(until - told))

    def now_in_words(self, left: float) -> str:
        sums = {
            name: sum(series.values[-1] for series in self.figures.named(name)) for name in BOUNDS
        }
        words = ", ".join(f"{name} {value:,.0f}" for name, value in sums.items())
        return f"{left:5.0f} s left: {self.leases} leases, {words}"


def document(soak: Soak, workers: int, seconds: float) -> dict[str, Any]:
    grown = soak.figures.grown()
    figures = {}
    for name, bound in BOUNDS.items():
        ends = [series.ends() for series in soak.figures.named(name)]
        figures[name] = {
            "bound": {"share": bound.share, "slack": bound.slack},
            "first_sum": sum(first for first, _ in ends),
            "last_sum": sum(last for _, last in ends),
            "largest_growth": max(last - first for first, last in ends),
            "flat": not any(series.name == name for series in grown),
        }
    return {
        "what": "soak",
        "workers": workers,
        "seconds": seconds,
        "warm_up_share": WARM_UP,
        "samples": max(len(series.values) for series in soak.figures.series.values()),
        "leases": soak.leases,
        "file_system": soak.file_system,
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "version": __version__,
        "flat": not grown,
        "figures": figures,
        "grown": [str(series) for series in grown],
    }


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument(
        "--save", action="store_true", help="keep the JSON in benchmarks/results/torture"
    )
    arguments = parser.parse_args(words)
    if reason := missing_redis():
        print(f"error: no soak here\ntry: {reason}", file=sys.stderr)
        return 78
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(number, signal.default_int_handler)
    seconds = 60 * arguments.minutes
    with Soak(arguments.workers) as soak:
        print(f"{arguments.workers} workers on {soak.file_system} for {seconds:.0f} s", flush=True)
        soak.watch(seconds, every=max(1.0, seconds / 200), say=lambda text: print(text, flush=True))
        found = document(soak, arguments.workers, seconds)
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"soak-{soak.file_system}.json").write_text(text + "\n")
    print("flat" if found["flat"] else "NOT flat: " + "; ".join(found["grown"]))
    return 0 if found["flat"] else 1


if __name__ == "__main__":
    sys.exit(main())
