"""compare on real mounts: the same one twenty times, and one that is 15 % slower twenty times.
Twenty minutes, on a machine that has nothing else to do:
``make long ARGS=tests/bench/test_comparing_mounts.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.bench.harness import bench
from tests.bench.mounts import Limits, ThrottledMount, missing_fuse
from volumelease.bench.comparing import compare
from volumelease.bench.document import Document
from volumelease.bench.options import MEBIBYTE

TRIES: Final = 20
SPEED: Final = 300e6
SLOWER: Final = 0.85

pytestmark = [
    pytest.mark.torture,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(missing_fuse() is not None, reason=str(missing_fuse())),
]


def measured(directory: Path) -> Document:
    scenarios = ("sequential-write", "sequential-read")
    return bench(
        directory, *scenarios, pace="quick", jobs=2, budget_bytes=256 * MEBIBYTE, repeat_seconds=3.0
    )


def changes(old: Document, new: Document) -> list[str]:
    return [one.change for one in compare(old, new)]


def test_the_same_mount_never_is_a_regression_and_a_slower_one_always() -> None:
    same = slower = 0
    with (
        ThrottledMount(Limits(bytes_per_second=SPEED)) as one,
        ThrottledMount(Limits(bytes_per_second=SPEED * SLOWER)) as other,
    ):
        before = measured(one.path)
        for _ in range(TRIES):
            # In turn: what a busy machine takes, it takes from both.
            after, late = measured(one.path), measured(other.path)
            same += "regression" in changes(before, after)
            slower += "regression" in changes(after, late)
            before = after
    print(f"the same mount: {same} regressions; 15 % slower: {slower} of {TRIES}")
    assert (same, slower) == (0, TRIES)
