"""What each level denies is what ENFORCEMENT.md says, for every probe, user and file system."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from volumelease.enforce import landlock

from . import page
from .ground import NOBODY, Ground, furnish, ground, probe
from .probes import PROBES, Probe


def landlock_missing() -> str:
    try:
        landlock.abi()
    except landlock.LandlockMissing as error:
        return str(error.strerror)
    return ""


@pytest.fixture(params=[0, NOBODY], ids=["root", "nobody"])
def local(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ground(None, request.param) as made:
        yield made


@pytest.fixture(params=[0, NOBODY], ids=["root", "nobody"])
def moosefs(request: pytest.FixtureRequest, shared_mounts: list[Path]) -> Iterator[Ground]:
    with ground(shared_mounts[0], request.param) as made:
        yield made


needs_landlock = pytest.mark.skipif(bool(landlock_missing()), reason=landlock_missing())


@pytest.mark.parametrize(
    "level", ["none", "python", pytest.param("landlock", marks=needs_landlock)]
)
def test_a_local_volume_denies_what_the_page_says(local: Ground, level: str) -> None:
    judge(local, level)


@pytest.mark.parametrize("level", ["python", pytest.param("landlock", marks=needs_landlock)])
def test_moosefs_denies_what_the_page_says(moosefs: Ground, level: str) -> None:
    judge(moosefs, level)


@pytest.mark.torture
def test_moosefs_without_enforcement_denies_nothing(moosefs: Ground) -> None:
    judge(moosefs, "none")


def judge(ground: Ground, level: str) -> None:
    furnish(ground)
    before = {probe.slug: ground.state(probe) for probe in PROBES}
    told = probe(ground, level)
    wrong = []
    for one in PROBES:
        if told[one.slug].startswith("missing"):
            continue  # a library that is not installed here: pip install -e '.[guard-tests]'
        seen = verdict(one, told[one.slug], before[one.slug], ground.state(one))
        if seen != one.expected(level):
            wrong.append(f"{one.name}: {seen}, not {one.expected(level)}: {told[one.slug]}")
    assert not wrong, "\n".join(wrong)


def verdict(one: Probe, error: str, before: dict[str, object], after: dict[str, object]) -> str:
    """By what it did, and not by what it says."""
    if one.place == "read":
        return "denied" if error else "allowed"
    changed = before[one.place] != after[one.place]
    if one.place != "unleased" and before["unleased"] != after["unleased"]:
        return "writes elsewhere too"
    if changed:
        return "half done" if error else "allowed"
    return "denied" if error else "silently ignored"


def test_the_page_shows_this_table() -> None:
    text = page.PAGE.read_text()
    assert page.with_table(text) == text, "python -m tests.enforce.page writes it anew"


def test_enough_is_tried() -> None:
    assert sum(probe.place == "unleased" for probe in PROBES) >= 28
    assert len({probe.slug for probe in PROBES}) == len(PROBES)
