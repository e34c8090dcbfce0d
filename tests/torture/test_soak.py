"""A soak finds what grows, and nothing else."""

from __future__ import annotations

from itertools import chain, repeat
from typing import Final

import pytest

from tests.bed.redis import missing_redis

from .soak import BOUNDS, Series, Soak

LEAKS: Final = ("memory", "descriptors", "threads")
SECONDS: Final = 10.0


@pytest.mark.skipif(missing_redis() is not None, reason=str(missing_redis()))
def test_a_soak_finds_who_leaks_and_only_that() -> None:
    """But for the files: so soon the log still fills its first segments."""
    with Soak(4, pace=1.0, leaks=LEAKS, local=True) as soak:
        soak.watch(SECONDS, every=0.5, say=print)
        assert soak.leases > 4
        grown = [one for one in soak.figures.grown() if one.name != "files_on_volumes"]
    print(*grown, sep="\n")
    assert {series.who for series in grown} == {"hand-0"}
    assert {series.name for series in grown} == {"memory_bytes", "descriptors", "threads"}
    assert {series.name for series in soak.figures.series.values()} == set(BOUNDS)


@pytest.mark.parametrize("name", BOUNDS)
def test_what_grows_without_end_is_told(name: str) -> None:
    bound = BOUNDS[name]
    usual = 10 * bound.slack + 10
    step = (usual * bound.share + bound.slack) / 50
    assert not Series(name, "all", [usual + step * n for n in range(200)]).flat
    assert Series(name, "all", [usual] * 200).flat


def test_what_grows_only_at_first_is_flat_and_so_is_a_saw() -> None:
    filled = chain(range(0, 3000, 50), repeat(3000.0, 140))
    assert Series("files_on_volumes", "all", [float(value) for value in filled]).flat
    assert Series("files_on_volumes", "all", [1000.0 + n % 10 * 30 for n in range(200)]).flat


def test_one_wild_sample_is_no_trend() -> None:
    assert Series("threads", "hand-1", [10.0] * 199 + [500.0]).flat
