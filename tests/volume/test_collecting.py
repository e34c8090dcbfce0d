"""Clearing away drafts and versions in the time it is given, in a local directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.collecting import VERSION_RETENTION_SECONDS, Collector
from volumelease.authorities.volume.layout import Layout
from volumelease.clock import Reading
from volumelease.core.table import Table
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.effects import Effect, RemoveTree, Steps

CALL_SECONDS = 0.01
BUDGET = 0.5
VERSIONS = 120
SLACK = 0.1
"""One item is finished that was begun in time."""


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    boottime = wall = monotonic

    def read(self) -> Reading:
        return Reading(self.now, self.now, self.now)


class Slow:
    """Every call takes time on ``clock``; a tree named in ``huge`` so many turns to remove."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.files = Files()
        self.huge: dict[str, int] = {}

    def perform(self, effect: Effect) -> Any:
        self.clock.now += CALL_SECONDS
        if isinstance(effect, RemoveTree):
            name = effect.path.rpartition("/")[2].partition(".")[0]
            if self.huge.get(name, 0) > 0:
                self.huge[name] -= 1
                self.clock.now += effect.seconds
                return False
            return self.files.perform(effect._replace(seconds=60.0))
        return self.files.perform(effect)


class Ground:
    """A volume, and the table of a fleet of nobody."""

    def __init__(self, root: Path) -> None:
        wanted = founding.Founding("ab", 15.0, 0.0, ready=True)
        identity, _ = Monitor(Files()).run(founding.found(str(root), wanted))
        self.layout = Layout.of(str(root), identity)
        self.table = Table()
        self.clock = Clock()
        self.slow = Slow(self.clock)
        self.versions = Path(self.layout.folder("versions"))
        self.stage = Path(self.layout.folder("stage"))
        self.collector = Collector("me", self, self.clock, "boot")

    def catch_up(self) -> Steps[None]:
        yield from ()

    def replace(self, name: str, ago: float = 2 * VERSION_RETENTION_SECONDS) -> None:
        folder = self.versions / name
        folder.mkdir()
        (folder / "file").write_text("content")
        (self.versions / f"{name}.public").symlink_to("models/a")
        (self.versions / f"{name}.was").symlink_to("anywhere")
        (self.versions / f"{name}.replaced.boot").symlink_to(repr(self.clock.now - ago))

    def collect(self) -> float:
        """Returns how long it took."""
        began = self.clock.now
        Monitor(self.slow).run(self.collector.collect(BUDGET))
        return self.clock.now - began

    def collect_all(self, most: int) -> list[float]:
        took = [self.collect()]
        while self.collector.backlog:
            took.append(self.collect())
            assert len(took) < most
        return took


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def test_it_ends_in_time_whatever_lies_there_and_goes_on_where_it_stopped(ground: Ground) -> None:
    for number in range(VERSIONS):
        ground.replace(f"dead-{number:03d}")
        (ground.stage / f"gone-{number:03d}.owner").symlink_to("nobody")
    took = ground.collect_all(most=60)
    assert max(took) <= BUDGET + SLACK
    assert list(ground.versions.iterdir()) == list(ground.stage.iterdir()) == []


def test_a_tree_that_takes_long_does_not_keep_it_from_the_others(ground: Ground) -> None:
    for number in range(8):
        ground.replace(f"dead-{number}")
    ground.slow.huge["dead-0"] = 5
    took = [ground.collect() for _ in range(4)]
    assert max(took) <= BUDGET + SLACK
    assert {path.name.partition(".")[0] for path in ground.versions.iterdir()} == {"dead-0"}
    ground.collect_all(most=10)
    assert list(ground.versions.iterdir()) == []


def test_what_readers_may_still_open_is_looked_at_once_and_not_each_time(ground: Ground) -> None:
    for number in range(VERSIONS):
        ground.replace(f"dead-{number:03d}", ago=1.0)
    ground.collect_all(most=60)
    assert ground.collect() <= 3 * CALL_SECONDS
    assert len(list(ground.versions.glob("*.replaced.boot"))) == VERSIONS
    ground.clock.now += VERSION_RETENTION_SECONDS
    ground.collect_all(most=60)
    assert list(ground.versions.iterdir()) == []


def test_listings_that_take_all_the_time_don_t_keep_it_from_deleting(ground: Ground) -> None:
    for number in range(10):
        ground.replace(f"dead-{number}")
    listed = ground.collector._listed

    def slowly(folder: str) -> Steps[set[str]]:
        ground.clock.now += BUDGET
        return (yield from listed(folder))

    ground.collector._listed = slowly  # type: ignore[method-assign]
    ground.collect_all(most=30)
    assert list(ground.versions.iterdir()) == []


@pytest.mark.parametrize("done", range(4))
def test_taking_marks_away_can_end_anywhere(ground: Ground, done: int) -> None:
    ground.replace("dead-0")
    (ground.versions / "dead-0" / "file").unlink()
    (ground.versions / "dead-0").rmdir()
    marks = [path.name for path in ground.versions.iterdir()]
    steps = ground.collector._unmark("versions", "dead-0", marks)
    for _ in range(done):
        ground.slow.perform(next(steps))
    assert len(list(ground.versions.iterdir())) == 3 - done
    ground.collect_all(most=3)
    assert list(ground.versions.iterdir()) == []
