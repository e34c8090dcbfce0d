"""Medians, intervals, steadiness: pure functions."""

from __future__ import annotations

import random

import pytest

from volumelease.bench.statistics import drift, interval, median, ratio_interval, steady_at


def test_an_interval_holds_its_median_and_stays_within_the_values() -> None:
    values = [201.0, 199.5, 203.2, 200.4, 198.9]
    low, high = interval(values)
    assert min(values) <= low <= median(values) <= high <= max(values)


def test_the_same_values_give_the_same_interval() -> None:
    assert interval([3.0, 1.0, 2.0]) == interval([3.0, 1.0, 2.0])


def test_one_value_has_an_interval_without_width() -> None:
    assert interval([5.0]) == (5.0, 5.0)


def test_nothing_has_no_median() -> None:
    with pytest.raises(ValueError, match="no values"):
        median([])


def test_an_interval_of_a_ratio_is_around_that_ratio() -> None:
    low, high = ratio_interval([84.0, 85.0, 86.0], [99.0, 100.0, 101.0])
    assert 0.8 < low <= 0.85 <= high < 0.9


def test_samples_are_steady_after_three_good_windows_in_a_row() -> None:
    assert steady_at([200.0] * 5) is None
    assert steady_at([200.0] * 6) == 6


def test_a_burst_is_waited_for_until_it_is_over() -> None:
    burst = [2345.0, 2345.0, 2100.0, 900.0]
    assert steady_at([*burst, 200.0, 201.0, 199.0]) is None
    assert steady_at([*burst, *[200.0, 201.0, 199.0] * 3]) == len(burst) + 6


def test_what_falls_slowly_is_not_steady() -> None:
    falling = [1000.0 * 0.93**n for n in range(40)]
    assert steady_at(falling) is None
    assert drift(falling[:4]) > 0.1


def test_noise_is_not_steady() -> None:
    chance = random.Random(1)
    assert steady_at([chance.uniform(100, 300) for _ in range(100)]) is None


def test_a_mount_that_stands_still_is_not_steady() -> None:
    assert steady_at([0.0] * 20) is None
