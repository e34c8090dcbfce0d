"""Each error is provoked, named on docs/errors.md, and says what it is about and the way out."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from .elsewhere import ELSEWHERE, INSIDE, RARE
from .families import classes, families
from .page import Provoked, all_provoked, kinds, page
from .provocations import place_of_page
from .stage import Said

ROOT = place_of_page().parents[1]

pytestmark = pytest.mark.timeout(600)  # a hundred small things, on a machine that may be busy


@pytest.fixture(scope="module")
def provoked() -> list[Provoked]:
    return all_provoked()


def test_the_page_says_what_is_said(provoked: list[Provoked]) -> None:
    written = place_of_page().read_text(encoding="utf-8")
    assert page(provoked) == written, "make errors"


def test_every_place_that_makes_errors_is_on_the_page(provoked: list[Provoked]) -> None:
    shown = set().union(*(one.families for one in provoked))
    known = shown | ELSEWHERE.keys() | INSIDE.keys() | RARE.keys()
    missing = families() - known
    assert not missing, f"provoke it in tests/errors/provocations.py: {sorted(missing)}"
    assert not (ELSEWHERE.keys() | INSIDE.keys() | RARE.keys()) - families(), "there no more"
    assert not (INSIDE.keys() | RARE.keys()) & shown, "provoked by now"


def test_every_class_of_error_is_made_somewhere() -> None:
    made = {name for _, name in families()}
    assert set(classes()) == made


def test_every_error_a_user_knows_by_name_is_met(provoked: list[Provoked]) -> None:
    met = {name for one in provoked for _, name in one.families}
    met |= {name for _, name in ELSEWHERE}
    assert {kind.__name__ for kind in kinds()} <= met


def test_every_error_names_its_value_and_the_way_out(provoked: list[Provoked]) -> None:
    for how, said, _ in provoked:
        assert said.what, how
        assert said.advice, f"{how}: says no way out"
        assert said.what.rstrip(".") != said.advice.rstrip("."), how
        if said.code is not None:
            assert said.code in (1, 2, 75, 76, 78), f"{how}: {said.code}"
        for text in (said.what, said.advice):
            assert "Traceback" not in text, how
            assert "\n" not in text, how


def _tests() -> Iterator[tuple[str, str]]:
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        yield file, name


def test_the_tests_that_are_named_exist() -> None:
    for file, name in _tests():
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert any(getattr(node, "name", "") == name for node in tree.body), f"{file}::{name}"


def test_an_error_without_a_way_out_is_found() -> None:
    bare = Provoked("x", Said("LeaseError", "what", "", None), set())
    with pytest.raises(AssertionError, match="no way out"):
        test_every_error_names_its_value_and_the_way_out([bare])
