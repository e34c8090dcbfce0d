"""Search schedules, replay one, hunt mutants, or explore a small scope completely."""

from __future__ import annotations

import argparse
import sys
import time

from . import exhaustive, mutants, search
from .setup import Case, setup_of, troubles_of


def main() -> int:
    options = _options().parse_args()
    if options.exhaustive:
        print(exhaustive.report(deep=options.long))
        return 0
    if options.mutant == "all":
        return _hunt_all()
    mutant = mutants.named(options.mutant) if options.mutant else None
    authority = mutant.authority if mutant is not None else options.authority
    only = None if options.only is None else _names(options.only, authority)
    if mutant is not None and only is None:
        only = mutant.troubles
    seeds = range(options.seed, options.seed + options.runs)
    daemons = options.daemons or (mutant is not None and mutant.daemons)
    containers = options.containers or (mutant is not None and mutant.containers)
    moves = options.moves or (mutant is not None and mutant.moves)
    case = Case(0, only, options.workers, options.long, options.busy, daemons, authority)
    cases = (case._replace(seed=seed, containers=containers, moves=moves) for seed in seeds)
    started = time.monotonic()
    found = search.first(cases, mutant)
    seconds = time.monotonic() - started
    if found is None:
        print(f"{options.runs} runs from seed {options.seed}: no violation, {seconds:.0f} s")
        return 0
    print(f"seed {found.case.seed}: {found.checker}: {found.what}")
    troubles = ", ".join(setup_of(found.case).troubles)
    print(f"found in run {found.runs}, with {troubles or 'no trouble'}")
    if options.runs > 1:
        print("shortening ...")
        found = search.shorten(found, mutant)
    print(search.story(found, mutant))
    return 1


def _hunt_all() -> int:
    alive = 0
    for mutant in mutants.MUTANTS:
        found = search.hunt(mutant)
        alive += found is None
        how = "ALIVE" if found is None else f"{found.checker}, {found.runs} runs"
        print(f"{mutant.name:30} {how:28} {mutant.rule}")
    return int(alive > 0)


def _names(text: str, authority: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name and name != "nothing")
    known = troubles_of(authority)
    unknown = set(names) - set(known)
    if unknown:
        sys.exit(f"no such trouble: {sorted(unknown)}; there are: {', '.join(known)}")
    return names


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--runs", type=int, default=200, help="how many seeds")
    parser.add_argument("--authority", choices=("volume", "redis"), default="volume")
    parser.add_argument("--only", help="these troubles alone; 'nothing' for none")
    parser.add_argument("--workers", type=int, help="that many workers")
    parser.add_argument("--long", action="store_true", help="three times as long")
    parser.add_argument("--busy", action="store_true", help="no pauses, the shortest segments")
    parser.add_argument("--daemons", action="store_true", help="sessions that have successors")
    parser.add_argument("--containers", action="store_true", help="whose users die with them")
    parser.add_argument(
        "--moves", action="store_true", help="what was written elsewhere is published"
    )
    parser.add_argument("--mutant", help="with that rule switched off; 'all' hunts every one")
    parser.add_argument("--exhaustive", action="store_true", help="a small scope, completely")
    return parser


if __name__ == "__main__":
    sys.exit(main())
