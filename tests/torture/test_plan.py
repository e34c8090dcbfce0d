"""Plans are drawn from their seed alone, and keep to what they are asked for."""

from __future__ import annotations

import pytest

from tests.simulation.setup import REDIS_TROUBLES, TROUBLES

from .plan import DELETE, HANDS, HOSTS, KINDS, NAMES, plan, troubles
from .scene import Scene


def test_a_seed_is_one_plan() -> None:
    assert plan(7, 600, 10) == plan(7, 600, 10)
    assert plan(7, 600, 10) != plan(8, 600, 10)


@pytest.mark.parametrize("seed", range(5))
def test_ten_minutes_have_every_kind_of_fault_and_end_in_time(seed: int) -> None:
    steps = plan(seed, 600, 10)
    assert {step.fault for step in steps} == set(NAMES)
    assert all(0 <= step.at <= step.at + step.seconds <= 600 for step in steps)
    assert [step.fault for step in steps].count(DELETE.name) == 1
    assert steps == sorted(steps)


def test_targets_are_there() -> None:
    hosts = {str(host) for host in range(HOSTS)}
    for step in plan(3, 3600, 10):
        wanted = {"hand": set(HANDS), "host": hosts}.get(NAMES[step.fault].target, {""})
        assert step.target in wanted


def test_every_fault_can_be_done_and_has_a_name_in_the_simulator() -> None:
    for kind in (*KINDS, DELETE):
        assert hasattr(Scene, f"_{kind.name}")
        assert kind.trouble in {*TROUBLES, *REDIS_TROUBLES}
    assert set(troubles(plan(1, 600, 10))) <= {*TROUBLES, *REDIS_TROUBLES}
