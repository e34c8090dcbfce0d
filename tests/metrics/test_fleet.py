"""What all sessions counted together, whatever became of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.fleet import Fleet
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.reports import Reports
from volumelease.clock import SystemClock
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.effects import Effect, ListDirectory, Rename, Steps, Symlink, Unlink
from volumelease.tallies import Tally

CLOCK = SystemClock()


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    wanted = founding.Founding(os.urandom(8).hex(), 2.0, time.time(), ready=True)
    identity, _ = Monitor(Files()).run(founding.found(str(tmp_path), wanted))
    return Layout.of(str(tmp_path), identity)


def run(steps: Any) -> Any:
    return Monitor(Files()).run(steps)


def session(layout: Layout, published: int, tally: Tally | None = None) -> str:
    """Leaves a report; returns its name."""
    name = os.urandom(8).hex()
    tally = tally or Tally()
    reports = Reports(layout, name, tally, CLOCK)
    tally.count("publishes_total", "other", value=published)
    run(reports.leave())
    return name


def published(layout: Layout) -> float:
    return float(run(Fleet(layout, CLOCK).read()).counts.values["publishes_total", "other"][0])


def fold(layout: Layout, lives: Callable[[str], bool] = lambda _: False) -> int:
    return int(run(Fleet(layout, CLOCK).fold(lives)))


def test_reports_add_up(layout: Layout) -> None:
    for number in (1, 2, 4):
        session(layout, number)
    assert published(layout) == 7


def test_what_ended_sessions_counted_outlives_their_reports(layout: Layout) -> None:
    names = [session(layout, number) for number in (1, 2, 4)]
    assert fold(layout, lambda name: name == names[2]) == 2
    left = os.listdir(layout.folder("metrics"))
    assert [name for name in left if not name.startswith(("total", "sum"))] == names[2:]
    assert published(layout) == 7
    assert fold(layout) == 1
    assert published(layout) == 7
    assert fold(layout) == 0


class Crash(BaseException):
    pass


class Crashing(Files):
    """Dies at the n-th call of some kinds."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self._left = at

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Symlink | Unlink | Rename):
            self._left -= 1
            if self._left < 0:
                raise Crash
        return super().perform(effect)


@pytest.mark.parametrize("at", range(9))
def test_a_folder_that_dies_anywhere_counts_nothing_twice(layout: Layout, at: int) -> None:
    for number in (1, 2, 4):
        session(layout, number)
    try:
        Monitor(Crashing(at)).run(Fleet(layout, CLOCK).fold(lambda _: False))
    except Crash:
        assert published(layout) == 7
    fold(layout)
    assert published(layout) == 7
    session(layout, 8)
    fold(layout)
    assert published(layout) == 15


class Meeting(Files):
    """Lets another one fold, all of it, right before the n-th change."""

    def __init__(self, at: int, other: Callable[[], Any]) -> None:
        super().__init__()
        self._left = at
        self._other = other

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Symlink | Unlink | Rename):
            self._left -= 1
            if self._left == -1:
                self._other()
        return super().perform(effect)


@pytest.mark.parametrize("at", range(9))
def test_two_that_fold_at_once_count_nothing_twice(layout: Layout, at: int) -> None:
    for number in (1, 2, 4):
        session(layout, number)

    def other() -> None:
        session(layout, 8)
        fold(layout)
        session(layout, 16)
        fold(layout)

    Monitor(Meeting(at, other)).run(Fleet(layout, CLOCK).fold(lambda _: False))
    assert published(layout) in (7, 31)
    if published(layout) == 7:  # it made fewer changes than that
        other()
    assert published(layout) == 31
    fold(layout)
    assert published(layout) == 31


def test_a_report_that_lands_after_it_was_folded_is_not_counted_again(layout: Layout) -> None:
    name = session(layout, 4)
    report = os.readlink(layout.report(name))
    fold(layout)
    os.symlink(report, layout.report(name))
    assert published(layout) == 4
    fold(layout)
    assert not os.path.lexists(layout.report(name))


class Opening(Files):
    """A session opens and reports right before the reports are listed."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self._layout = layout
        self.opened: set[str] = set()

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, ListDirectory) and not self.opened:
            self.opened.add(session(self._layout, 1))
        return super().perform(effect)


def test_a_session_that_opens_meanwhile_is_not_taken_for_one_that_is_over(layout: Layout) -> None:
    files, table = Opening(layout), set[str]()

    def look() -> Steps[None]:
        table.update(files.opened)
        yield from ()

    fleet = Fleet(layout, CLOCK)
    assert Monitor(files).run(fleet.fold(lambda name: name in table, look)) == 0
    assert published(layout) == 1


def test_a_second_session_of_a_process_tells_only_what_the_first_did_not(layout: Layout) -> None:
    tally = Tally()
    session(layout, 1, tally)
    tally.count("publishes_total", "other", value=2)  # after its last report
    session(layout, 4, tally)
    assert published(layout) == 7


def test_a_fleet_without_an_exporter_folds_by_itself(layout: Layout) -> None:
    for _ in range(256):
        session(layout, 1)
    run(Fleet(layout, CLOCK).fold_if_many(lambda _: False, lambda: iter(())))  # type: ignore[arg-type, return-value] # no steps
    assert len(os.listdir(layout.folder("metrics"))) < 10
    assert published(layout) == 256
