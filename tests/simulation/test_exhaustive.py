"""Two sessions, two paths: every interleaving, every way in which a commit can go."""

from __future__ import annotations

import pytest

from tests.simulation import exhaustive
from tests.simulation.checkers import Violation
from tests.simulation.exhaustive import Scope, explore
from tests.simulation.mutants import alive, named

LONG = pytest.mark.torture, pytest.mark.timeout(600)


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(scope, id=str(scope), marks=LONG if scope.publishes else ())
        for scope in exhaustive.SCOPES
    ],
)
def test_every_interleaving_keeps_every_promise(scope: Scope) -> None:
    explored = explore(scope)
    assert explored.states > 2_000
    print(f"{scope}: {explored.states} states")


@pytest.mark.torture
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scope", exhaustive.DEEP, ids=str)
def test_every_interleaving_with_another_fault_keeps_every_promise(scope: Scope) -> None:
    assert explore(scope).states > 20_000


@pytest.mark.parametrize(
    "name",
    [
        "no-grant-on-release",
        "no-look-before-granting",
        "index-skipped",
        "eexist-is-not-ours",
        "orphans-dropped",
        pytest.param("shown-before-decided", marks=LONG),
        pytest.param("used-before-applied", marks=LONG),
    ],
)
def test_a_broken_rule_is_found_without_chance(name: str) -> None:
    with alive(named(name)), pytest.raises((Violation, AssertionError)):
        explore_all()


def explore_all() -> None:
    for scope in exhaustive.SCOPES:
        explore(scope)
