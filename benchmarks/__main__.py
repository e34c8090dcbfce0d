"""``python -m benchmarks [SCENARIO ...] [--local] [--save]``: run scenarios and print ratios.

On the MooseFS test bed when this machine can make one, and in a local directory. ``--save`` keeps
the JSON in ``benchmarks/results``; figures that are committed say which command made them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bed.moosefs import MooseFsBed, missing

from . import imports, publishing, uncontended
from .measure import environment

SCENARIOS: dict[str, Callable[[Path, str, Path | None, int], bool]] = {
    "uncontended": uncontended.run,
    "imports": imports.run,
    "publishing": publishing.run,
}
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="*", help=", ".join(SCENARIOS))
    parser.add_argument("--local", action="store_true", help="only in a local directory")
    parser.add_argument("--save", action="store_true", help="keep the JSON in benchmarks/results")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    unknown = set(options.scenario) - set(SCENARIOS)
    if unknown:
        parser.error(
            f"unknown scenario {', '.join(sorted(unknown))}; known: {', '.join(SCENARIOS)}"
        )
    print(environment())
    chosen = options.scenario or list(SCENARIOS)
    met = True
    with tempfile.TemporaryDirectory() as local:
        met &= _run(chosen, Path(local), "local directory", options)
    why_not = missing()
    if options.local:
        return 0 if met else 1
    if why_not is not None:
        print(f"\nnot on MooseFS: {why_not}")
        return 0 if met else 1
    with MooseFsBed(hosts=2) as bed:
        folder = bed.hosts[0].mount / "benchmarks"
        folder.mkdir()
        met &= _run(chosen, folder, "MooseFS test bed", options)
    return 0 if met else 1


def _run(chosen: list[str], folder: Path, where: str, options: argparse.Namespace) -> bool:
    met = True
    for name in chosen:
        target = (
            RESULTS / f"{name}-{where.split(maxsplit=1)[0].lower()}.json" if options.save else None
        )
        own = folder / name
        own.mkdir()
        met &= SCENARIOS[name](own, where, target, options.rounds)
    return met


if __name__ == "__main__":
    raise SystemExit(main())
