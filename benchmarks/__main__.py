"""``python -m benchmarks [SCENARIO ...] [--local] [--save]``: run scenarios and print ratios.

On the MooseFS test bed when this machine can make one, and in a local directory. ``--save`` keeps
the JSON in ``benchmarks/results``; figures that are committed say which command made them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bed.moosefs import MooseFsBed, missing
from tests.bed.network import BedHost

from . import (
    asynchronous,
    blocked,
    daemon,
    detection,
    fairness,
    guard,
    handoff,
    handoff_redis,
    held,
    imports,
    publishing,
    renewal,
    starters,
    takeover,
    uncontended,
    uncontended_redis,
)
from .measure import environment

SCENARIOS: dict[str, Callable[[Path, str, Path | None, int], bool]] = {
    "uncontended": uncontended.run,
    "uncontended-redis": uncontended_redis.run,
    "imports": imports.run,
    "asynchronous": asynchronous.run,
    "daemon": daemon.run,
    "publishing": publishing.run,
    "guard": guard.run,
    "held": held.run,
    "renewal": renewal.run,
    "blocked": blocked.run,
}
ON_HOSTS: dict[str, Callable[[list[Path], str, Path | None, int], bool]] = {
    "handoff": handoff.run,
    "handoff-redis": handoff_redis.run,
    "fairness": fairness.run,
    "starters": starters.run,
    "detection": detection.run,
}
"""These get the same directory as each host sees it."""

ON_CABLES: dict[str, Callable[[list[Path], Sequence[BedHost], str, Path | None, int], bool]] = {
    "takeover": takeover.run,
}
"""These get the hosts too, and cut them off; none in a local directory."""

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = [*SCENARIOS, *ON_HOSTS, *ON_CABLES]
    parser.add_argument("scenario", nargs="*", help=", ".join(known))
    parser.add_argument("--local", action="store_true", help="only in a local directory")
    parser.add_argument("--save", action="store_true", help="keep the JSON in benchmarks/results")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    unknown = set(options.scenario) - set(known)
    if unknown:
        parser.error(f"unknown scenario {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    print(environment())
    chosen = options.scenario or known
    met = True
    with tempfile.TemporaryDirectory() as local:
        met &= _run(chosen, [Path(local)] * 2, [], "local directory", options)
    why_not = missing()
    if options.local:
        return 0 if met else 1
    if why_not is not None:
        print(f"\nnot on MooseFS: {why_not}")
        return 0 if met else 1
    with MooseFsBed(hosts=2) as bed:
        folders = [host.mount / "benchmarks" for host in bed.hosts]
        folders[0].mkdir()
        met &= _run(chosen, folders, bed.hosts, "MooseFS test bed", options)
    return 0 if met else 1


def _run(
    chosen: list[str],
    folders: list[Path],
    hosts: Sequence[BedHost],
    where: str,
    options: argparse.Namespace,
) -> bool:
    met = True
    for name in chosen:
        target = (
            RESULTS / f"{name}-{where.split(maxsplit=1)[0].lower()}.json" if options.save else None
        )
        own = [folder / name for folder in folders]
        own[0].mkdir()
        if name in ON_HOSTS:
            met &= ON_HOSTS[name](own, where, target, options.rounds)
        elif name in ON_CABLES:
            met &= ON_CABLES[name](own, hosts, where, target, options.rounds)
        else:
            met &= SCENARIOS[name](own[0], where, target, options.rounds)
    return met


if __name__ == "__main__":
    raise SystemExit(main())
