"""The short form of fuzzing: what the long runs found, and what chance finds in some seconds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from volumelease.drivers import scripts
from volumelease.wire import marks

from .__main__ import NAMES
from .mutation import mutate
from .target import CORPUS, Target
from .targets import TARGETS

FINDINGS = sorted(path for path in CORPUS.glob("*/*"))
MOST_STEPS = 6


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_once_is_not_found_again(finding: Path) -> None:
    TARGETS[finding.parent.name].replay(finding)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_what_the_real_encoders_write_is_read(target: Target) -> None:
    assert len({decoder.name for decoder in target.decoders}) == len(target.decoders)
    for seed in target.seeds():
        target.run(seed)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(chance=st.randoms(use_true_random=False), steps=st.integers(1, MOST_STEPS))
def test_a_text_that_something_happened_to_is_a_value_or_the_documented_error(
    target: Target, chance: random.Random, steps: int
) -> None:
    seeds = target.seeds()
    data = chance.choice(seeds)
    for _ in range(steps):
        data = mutate(data, chance, seeds)
    target.run(data)


def test_the_names_of_the_command_are_those_of_the_targets() -> None:
    assert list(NAMES) == list(TARGETS)


def test_a_reader_that_believes_every_mark_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "unseal", lambda mark, target: target[8:].rstrip(" "))
    with pytest.raises(AssertionError, match="other leases than without the garbage"):
        for seed in TARGETS["table"].seeds():
            TARGETS["table"].run(seed)


def test_a_session_that_takes_every_reply_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "is_reply", lambda script, reply: True)
    target = TARGETS["redis"]
    for finding in target.findings():
        with pytest.raises((AssertionError, IndexError, KeyError, ValueError, TypeError)):
            target.replay(finding)
