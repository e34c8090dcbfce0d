"""docs/correctness.md promises what there is: every command, file, seed and mutant on it exists."""

from __future__ import annotations

import re

import pytest

from tests.simulation import __main__ as simulation
from tests.simulation.mutants import MUTANTS

from .page import NOT_YET, PAGE, ROOT, figures, findings, made

TEXT = PAGE.read_text(encoding="utf-8")
CODE = re.findall(r"`([^`\n]+)`", TEXT)


def test_its_made_parts_are_made_of_what_there_is() -> None:
    assert made(TEXT) == TEXT, "make correctness"


def test_every_file_it_names_exists() -> None:
    named = {
        word for word in CODE if re.fullmatch(r"[\w./-]+\.(py|md|json|lua|toml)|[\w./-]+/", word)
    }
    assert len(named) > 15
    missing = [
        word
        for word in named
        if not ((ROOT / word).exists() or (ROOT / "src/volumelease" / word).exists())
    ]
    assert not missing


def test_every_verb_of_make_it_names_exists() -> None:
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word.split()[1] for word in CODE if word.startswith("make ")}
    assert len(named) >= 5
    assert named <= verbs


def test_every_seed_on_it_is_a_test() -> None:
    tests = {case.command() for _, cases, _ in findings() for case in cases}
    shown = {word for word in CODE if word.startswith("python -m tests.simulation --seed")}
    assert len(shown) > 15
    assert shown <= tests


def test_every_finding_of_the_simulator_is_on_it() -> None:
    for name, cases, said in findings():
        assert cases[0].command() in TEXT, name
        assert said[:40] in TEXT, name


def test_every_mutant_on_it_is_one() -> None:
    named = {
        name.strip(" .")
        for said in re.findall(r"Mutants?: ([^|]+)", TEXT)
        for name in said.split(",")
    }
    assert named
    assert named <= {mutant.name for mutant in MUTANTS}


@pytest.mark.parametrize(
    "option", ["--seed", "--runs", "--only", "--long", "--authority", "--busy"]
)
def test_the_options_of_its_commands_are_those_of_the_simulator(option: str) -> None:
    assert option in (ROOT / "tests/simulation/__main__.py").read_text(encoding="utf-8")
    assert simulation.__doc__


def test_what_was_not_run_is_said_so() -> None:
    assert figures("nothing-like-it") == NOT_YET
