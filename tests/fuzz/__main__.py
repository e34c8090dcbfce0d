"""``python -m tests.fuzz [TARGET ...] [--seconds S]``: fuzz each target for S seconds of CPU.

Coverage-guided where atheris is installed (``pip install -e '.[fuzz]'``, as ``make fuzz`` does);
else by chance alone, and it says so. It begins with what the real encoders write and with every
finding of old. What it finds stops it and goes to ``tests/fuzz/corpus``, where ``make test`` tries
it ever after.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .mutation import MOST_BYTES, mutate
from .target import CORPUS, Target

ROOT: Final = Path(__file__).parents[2]
MOST_MEMORY: Final = 2 << 30
SLOW_SECONDS: Final = 5.0
"""Of CPU. An input that costs more is a finding: nothing that is read may take for ever."""

NAMES: Final = ("log", "table", "notes", "redis", "sockets", "settings")


class TakesForEver(BaseException):
    """Not an ``Exception``: nothing that is tried may swallow it."""


def _too_slow(*_: object) -> None:
    raise TakesForEver(f"more than {SLOW_SECONDS:g} s of CPU")


class Run:
    """One target until its CPU time is used up."""

    def __init__(self, target: Target, seconds: float) -> None:
        self.target = target
        self.seconds = seconds
        self.executions = 0
        self.began = _cpu_seconds()
        self.chance = random.Random(os.urandom(8))
        self.seeds = target.seeds()

    def one(self, data: bytes) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, SLOW_SECONDS)
        try:
            self.target.run(data)
        except BaseException:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            self._found(data)
            raise
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        self.executions += 1
        if not self.executions % 16 and _cpu_seconds() - self.began > self.seconds:
            self.say(0)
            os._exit(0)  # libFuzzer has no other end

    def _found(self, data: bytes) -> None:
        print(f"\nfound: {self.target.keep(data)}", flush=True)
        self.say(1)

    def say(self, findings: int) -> None:
        report = {
            "target": self.target.name,
            "cpu_seconds": round(_cpu_seconds() - self.began, 1),
            "executions": self.executions,
            "findings": findings,
            "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        }
        print("report: " + json.dumps(report), flush=True)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def guided(run: Run, corpus: Path) -> None:
    """Until the time is over, or something is found. Does not return."""
    import atheris

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.25:
            return bytes(atheris.Mutate(data, most))
        return mutate(data, chance, run.seeds)[:most]

    for number, seed in enumerate([*run.seeds, *_old(run.target)]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = ["-rss_limit_mb=0", "-timeout=60", f"-max_len={MOST_BYTES}", "-print_final_stats=0"]
    options += ["-verbosity=0", f"-artifact_prefix={corpus}/"]
    setup: Any = atheris.Setup
    setup(["fuzz", *options, str(corpus)], run.one, custom_mutator=mutator)
    atheris.Fuzz()


def by_chance(run: Run) -> None:
    print("atheris is not installed: by chance alone (make fuzz installs it)", flush=True)
    pool = [*run.seeds, *_old(run.target)]
    while True:
        run.one(mutate(run.chance.choice(pool), run.chance, run.seeds))


def _old(target: Target) -> list[bytes]:
    numbers = {decoder.name: number for number, decoder in enumerate(target.decoders)}
    names = [(finding.name.rpartition("-")[0], finding) for finding in target.findings()]
    return [bytes([numbers[name]]) + finding.read_bytes() for name, finding in names]


def fuzz(name: str, seconds: float) -> None:
    """One target in this process. Does not return unless something was found."""
    faulthandler.enable()
    signal.signal(signal.SIGVTALRM, _too_slow)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    instrument: Callable[[], Any] = contextlib.nullcontext
    with contextlib.suppress(ImportError):
        import atheris

        instrument = lambda: atheris.instrument_imports(include=["volumelease"])  # noqa: E731
    with instrument():
        targets = importlib.import_module("tests.fuzz.targets")
        run = Run(targets.TARGETS[name], seconds)
    with tempfile.TemporaryDirectory(prefix="volumelease-fuzz-") as corpus:
        if instrument is contextlib.nullcontext:
            by_chance(run)
        guided(run, Path(corpus))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=float, default=900.0, help="of CPU, for each target")
    parser.add_argument("--here", action="store_true", help="one target, in this process")
    options = parser.parse_args()
    names = options.targets or list(NAMES)
    if set(names) - set(NAMES):
        parser.error(f"targets are {', '.join(NAMES)}")
    if options.here:
        fuzz(names[0], options.seconds)
    failed = False
    for name in names:
        words = [sys.executable, "-m", "tests.fuzz", name, "--here", f"--seconds={options.seconds}"]
        failed |= bool(subprocess.run(words, cwd=ROOT, check=False).returncode)
    if failed:
        print(f"what was found is in {CORPUS.relative_to(ROOT)}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
