"""Every rule is missed when it is switched off; else a check or a fault is missing here."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.simulation import duel, mutants, search
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.setup import Case

RARE = pytest.mark.torture, pytest.mark.timeout(600)
NEEDS_LUA = pytest.mark.skipif(find_spec("lupa") is None, reason="pip install lupa")


def marks_of(mutant: Mutant) -> list[pytest.MarkDecorator]:
    needs = [NEEDS_LUA] if mutant.authority == "redis" else []
    return [*needs, *(RARE if mutant.rare else ())]


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(m, id=m.name, marks=marks_of(m)) for m in MUTANTS],
)
def test_a_rule_that_is_switched_off_is_missed(mutant: Mutant) -> None:
    found = search.hunt(mutant)
    assert found is not None, f"nothing noticed that this no longer holds: {mutant.rule}"


def test_a_mutant_leaves_nothing_behind() -> None:
    for mutant in MUTANTS:
        before = [getattr(owner, name) for owner, name, _ in mutant.mutation()]
        with mutants.alive(mutant):
            pass
        after = [getattr(owner, name) for owner, name, _ in mutant.mutation()]
        assert before == after, mutant.name


def test_the_duel_is_fair_while_all_rules_hold() -> None:
    assert duel.search(range(20_000)) is None


def test_what_is_found_is_told_as_shortly_as_it_can_be_shown() -> None:
    mutant = mutants.named("no-grant-on-release")
    found = search.first([Case(3, ("resend", "stop", "kill"), workers=4)], mutant)
    assert found is not None
    shorter = search.shorten(found, mutant)
    assert (shorter.checker, shorter.case.only, shorter.case.workers) == (found.checker, (), 2)
    told = search.story(shorter, mutant)
    assert told.splitlines()[0].startswith(found.checker)
    assert told.endswith(f"replay: {shorter.case.command(mutant.name)}")
