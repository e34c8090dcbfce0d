"""A log that grows as fast as it is read, played on real files in a local directory."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import FIRST_SEGMENT, Layout
from volumelease.authorities.volume.replica import READ_IN_A_ROW, Replica
from volumelease.clock import Reading, SystemClock
from volumelease.core.records import CLOSING_ENTRIES, SEGMENT_ENTRIES
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.effects import Effect, ReadLink
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate


class Nobody:
    def entry_applied(self, *facts: Any) -> None: ...

    def table_loaded(self) -> None: ...


class Clock:
    """Goes on a little whenever somebody looks."""

    def __init__(self) -> None:
        self._ticks = itertools.count(100_000)

    def monotonic(self) -> float:
        return next(self._ticks) / 1000

    boottime = wall = monotonic

    def read(self) -> Reading:
        return Reading(self.monotonic(), self.monotonic(), self.monotonic())


class Busy:
    """A volume where others write while one reads."""

    def __init__(self, layout: Layout) -> None:
        self.segment = Path(layout.segment(FIRST_SEGMENT))
        self.length = 0
        self.busy = True
        self.places_read = 0
        self._files = Files()

    def write(self) -> None:
        if self.length < CLOSING_ENTRIES:
            (self.segment / str(self.length)).symlink_to("what another history led to")
            self.length += 1

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, ReadLink) and effect.at is not None and effect.name.isdigit():
            self.places_read += 1
            if self.busy:
                self.write()
        return self._files.perform(effect)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    identity, _ = Monitor(Files()).run(
        founding.found(str(tmp_path), founding.Founding("ab", 15.0, 0.0, ready=True))
    )
    return Layout.of(str(tmp_path), identity)


def test_a_log_that_grows_as_fast_as_it_is_read_is_read_as_far_as_it_was(layout: Layout) -> None:
    volume = Busy(layout)
    replica = Replica(layout, Clock(), Nobody())
    behind = 3 * READ_IN_A_ROW
    for _ in range(behind):
        volume.write()
    Monitor(volume).run(replica.catch_up())
    assert behind <= replica.next_index < volume.length < CLOSING_ENTRIES
    assert volume.places_read < 3 * behind


def test_who_is_whole_segments_behind_need_not_catch_up_with_a_log_that_grows_faster(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    place = locate(str(tmp_path), explicit=str(tmp_path))
    volumes = Volumes(Surroundings.of_this_process())
    identity = volumes.found(place, ready=True, ttl=15.0)

    class Growing:
        calls = 0

        def perform(self, effect: Effect) -> Any:
            self.calls += 1
            if isinstance(effect, ReadLink) and effect.at is not None and self.calls < 5_000:
                with volume_lease(tmp_path / "data", volumes=volumes):
                    pass
            return Files().perform(effect)

    for _ in range(SEGMENT_ENTRIES):
        with volume_lease(tmp_path / "data", volumes=volumes):
            pass
    volume = Growing()
    replica = Replica(Layout.first(str(tmp_path), identity.id), SystemClock(), Nobody())
    Monitor(volume).run(replica.catch_up())
    assert 2 * SEGMENT_ENTRIES <= replica.next_index < 4 * SEGMENT_ENTRIES
    volumes.close()


def test_who_knew_it_all_a_moment_ago_looks_again(layout: Layout) -> None:
    volume = Busy(layout)
    volume.busy = False
    replica = Replica(layout, Clock(), Nobody())
    Monitor(volume).run(replica.catch_up())
    volume.write()
    Monitor(volume).run(replica.catch_up())
    assert replica.next_index == 1
    read = volume.places_read
    Monitor(volume).run(replica.catch_up())
    assert volume.places_read == read + 1


def test_where_to_commit_is_after_the_last_entry(layout: Layout) -> None:
    volume = Busy(layout)
    replica = Replica(layout, Clock(), Nobody())
    for _ in range(30):
        volume.write()
    volume.busy = False
    Monitor(volume).run(replica.reach_end())
    assert replica.next_index == 30
