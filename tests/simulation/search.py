"""Look for a violation, seed after seed, and shorten what was found."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

from . import cores, duel, mutants
from .checkers import Violation
from .run import run
from .setup import Case, setup_of

NEIGHBOURS: Final = 12
"""How many other seeds are tried for each shorter case: leaving something out changes what
happens, so the same seed often fails no more."""

HISTORY_LINES: Final = 80


class Found(NamedTuple):
    """A violation, the case that shows it, and how many runs it took."""

    case: Case
    checker: str
    what: str
    runs: int


def violation_of(case: Case, mutant: mutants.Mutant | None = None) -> Violation | None:
    with ExitStack() as stack:
        if mutant is not None:
            stack.enter_context(mutants.alive(mutant))
        return run(setup_of(case)).violation


def first(cases: Iterable[Case], mutant: mutants.Mutant | None = None) -> Found | None:
    """The first case with a violation."""
    result = cores.first_of(cases, partial(_first_here, mutant))
    if result is None:
        return None
    place, found = result
    return found._replace(runs=place + 1)


def _first_here(mutant: mutants.Mutant | None, cases: list[Case]) -> tuple[int, Found] | None:
    for place, case in enumerate(cases):
        violation = violation_of(case, mutant)
        if violation is not None:
            return place, Found(case, violation.checker, violation.what, place + 1)
    return None


def hunt(mutant: mutants.Mutant, *hints: int) -> Found | None:
    """Find that mutant within its budget. ``hints``: seeds that are tried first, here and now."""
    if not mutant.duels:
        case = Case(
            0,
            mutant.troubles,
            mutant.workers,
            busy=mutant.busy,
            daemons=mutant.daemons,
            authority=mutant.authority,
            containers=mutant.containers,
            moves=mutant.moves,
        )
        hinted = _first_here(mutant, [case._replace(seed=seed) for seed in hints])
        if hinted is not None:
            return hinted[1]
        return first((case._replace(seed=seed) for seed in range(mutant.budget)), mutant)
    with mutants.alive(mutant):
        result = duel.search(range(mutant.duels))
    if result is None:
        return None
    seed, fight = result
    what = f"ended at {fight.ended_at:.2f}, believed until {fight.believed_until:.2f}"
    return Found(Case(seed), "duel", what, seed + 1)


def shorten(found: Found, mutant: mutants.Mutant | None = None) -> Found:
    """A case with fewer troubles and workers that breaks the same promise."""
    while True:
        shorter = _one_step(found, mutant)
        if shorter is None:
            return found
        found = shorter


def _one_step(found: Found, mutant: mutants.Mutant | None) -> Found | None:
    setup = setup_of(found.case)
    simpler = [
        found.case._replace(only=tuple(name for name in setup.troubles if name != dropped))
        for dropped in setup.troubles
    ]
    if setup.workers > 2:
        simpler.append(found.case._replace(workers=setup.workers - 1))
    if found.case.long:
        simpler.append(found.case._replace(long=False))
    for case in simpler:
        seeds = [case.seed, *(case.seed * 1000 + number for number in range(NEIGHBOURS))]
        for seed in seeds:
            tried = case._replace(seed=seed)
            violation = violation_of(tried, mutant)
            if violation is not None and violation.checker == found.checker:
                return Found(tried, violation.checker, violation.what, found.runs)
    return None


def story(found: Found, mutant: mutants.Mutant | None = None) -> str:
    """What a person needs: what broke, how to see it again, and the end of the history."""
    with ExitStack() as stack:
        if mutant is not None:
            stack.enter_context(mutants.alive(mutant))
        result = run(setup_of(found.case), recording=True)
    lines = [f"{found.checker}: {found.what}", str(setup_of(found.case)), ""]
    lines += [line[:200] for line in result.history[-HISTORY_LINES:]]
    lines += ["", "replay: " + found.case.command(mutant.name if mutant else "")]
    return "\n".join(lines)
