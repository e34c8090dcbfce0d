"""The verdict stands on the interval, never on the point."""

from __future__ import annotations

import pytest

from volumelease.bench.document import Flag
from volumelease.bench.verdicts import verdict


@pytest.mark.parametrize(
    ("mb_per_s", "expected"),
    [
        (150, "below documented"),
        (250, "typical"),
        (300, "typical"),
        (500, "above typical"),
        (1200, "fast"),
        (3000, "fast"),
        (7000, "very fast"),
        (10_000, "documented peak"),
        (200, "typical"),
        (400, "above typical"),
        (1000, "fast"),
        (5000, "very fast"),
        (9000, "documented peak"),
    ],
)
def test_each_band_begins_at_its_lower_edge(mb_per_s: float, expected: str) -> None:
    assert verdict(mb_per_s, mb_per_s * 1.03, steady=True) == expected
    assert verdict(mb_per_s * 0.9999, mb_per_s * 1.03, steady=True) in (expected, "inconclusive")


@pytest.mark.parametrize("edge", [200, 400, 1000, 5000, 9000])
def test_an_interval_over_an_edge_is_inconclusive(edge: float) -> None:
    assert verdict(edge - 0.1, edge + 0.1, steady=True) == "inconclusive"
    assert verdict(edge - 0.2, edge - 0.1, steady=True) != "inconclusive"


def test_what_never_became_steady_is_inconclusive() -> None:
    assert verdict(300, 301, steady=False) == "inconclusive"


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("cache-suspected", "cache suspected"),
        ("not-the-volume", "not the volume"),
        ("wrong-data", "inconclusive"),
        ("generator-bound", "typical"),
    ],
)
def test_what_did_not_come_from_the_volume_gets_no_band(flag: Flag, expected: str) -> None:
    assert verdict(300, 301, steady=True, flags=[flag]) == expected
