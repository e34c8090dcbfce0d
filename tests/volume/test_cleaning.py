"""Retired segments and lost drafts, in a local directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.cleaning import LEAST_RETENTION_SECONDS, Cleaning
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.replica import Replica
from volumelease.clock import Reading
from volumelease.core import records
from volumelease.core.records import Entry, SessionFacts
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.effects import RemoveDirectory
from volumelease.host import ProcessFacts

FACTS = SessionFacts(ProcessFacts("host", "boot", 1, 7, 7))


class Nobody:
    def entry_applied(self, *facts: Any) -> None: ...

    def table_loaded(self) -> None: ...


class Clock:
    """Goes on by ``step`` whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 100.0
        self.step = 0.0

    def monotonic(self) -> float:
        self.now += self.step
        return self.now

    boottime = wall = monotonic

    def read(self) -> Reading:
        return Reading(self.now, self.now, self.now)


class Volume:
    """A volume with sessions "alive" and "dead"; only the first is in the table."""

    def __init__(self, root: Path) -> None:
        self.monitor = Monitor(Files())
        identity, _ = self.monitor.run(
            founding.found(str(root), founding.Founding("ab", 15.0, 0.0, ready=True))
        )
        self.layout = Layout.of(str(root), identity)
        self.retired = Path(self.layout.folder("retired"))
        self.drafts = Path(self.layout.folder("drafts"))
        self.clock = Clock()
        self.replica = Replica(self.layout, self.clock, Nobody())
        self.monitor.run(self.replica.catch_up())
        for name in ("alive", "also-alive"):
            self.replica.table.apply(0, Entry(name, 1, 0.0, records.Open(FACTS)))

    def cleaning(self, name: str, boot: str = "boot") -> Cleaning:
        return Cleaning(self.replica, name, self.clock, boot, LEAST_RETENTION_SECONDS)

    def sweep(self, cleaning: Cleaning, seconds: float = 10.0) -> None:
        self.monitor.run(cleaning.sweep(seconds))

    def retire(self, name: str, places: int = 256) -> None:
        folder = self.retired / name
        folder.mkdir()
        for place in range(places):
            (folder / str(place)).symlink_to("entry")

    def left(self) -> list[str]:
        return sorted(path.name for path in self.retired.iterdir())


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


def test_a_segment_is_deleted_when_it_was_retired_for_long_enough(volume: Volume) -> None:
    volume.retire("3-aa")
    cleaning = volume.cleaning("alive")
    volume.sweep(cleaning)
    assert volume.left() == ["3-aa", "3-aa.boot"]
    volume.clock.now += LEAST_RETENTION_SECONDS - 0.1
    volume.sweep(cleaning)
    assert volume.left() == ["3-aa", "3-aa.boot"]
    volume.clock.now += 0.2
    volume.sweep(cleaning)
    volume.sweep(cleaning)
    assert volume.left() == []
    assert not cleaning.backlog


def test_one_host_does_not_trust_the_clock_of_another(volume: Volume) -> None:
    volume.retire("3-aa")
    (volume.retired / "3-aa.other-boot").symlink_to("-1e9")
    volume.sweep(volume.cleaning("alive"))
    assert "3-aa" in volume.left()


def test_a_sweep_stops_when_its_time_is_over_and_goes_on_at_the_next(volume: Volume) -> None:
    for name in ("3-aa", "4-bb"):
        volume.retire(name)
    cleaning = volume.cleaning("alive")
    volume.sweep(cleaning)
    volume.clock.now += 2 * LEAST_RETENTION_SECONDS
    volume.clock.step = 0.01
    sweeps = 0
    volume.sweep(cleaning, 1.0)
    assert volume.left() == ["3-aa.boot", "3-aa.gone-alive", "4-bb", "4-bb.boot"]
    assert 0 < len(list((volume.retired / "3-aa.gone-alive").iterdir())) < 256
    while cleaning.backlog:
        volume.sweep(cleaning, 1.0)
        sweeps += 1
    volume.sweep(cleaning, 1.0)
    assert volume.left() == []
    assert 3 <= sweeps <= 8


def test_what_another_session_deletes_is_left_to_it_while_it_lives(volume: Volume) -> None:
    volume.retire("3-aa.gone-also-alive")
    volume.sweep(volume.cleaning("alive"))
    assert volume.left() == ["3-aa.gone-also-alive"]


def test_what_a_dead_session_left_half_deleted_is_finished(volume: Volume) -> None:
    volume.retire("3-aa.gone-dead", places=7)
    (volume.retired / "3-aa.boot").symlink_to("1.0")
    cleaning = volume.cleaning("alive")
    volume.sweep(cleaning)
    volume.sweep(cleaning)
    assert volume.left() == []


def test_of_two_that_sweep_at_once_each_segment_has_one_winner(volume: Volume) -> None:
    for number in range(4):
        volume.retire(f"{number}-aa", places=20)
    one, other = volume.cleaning("alive"), volume.cleaning("also-alive")
    volume.sweep(one)
    volume.clock.now += 2 * LEAST_RETENTION_SECONDS
    first, second = one.sweep(10.0), other.sweep(10.0)
    deleted: dict[str, set[str]] = {"first": set(), "second": set()}
    todo = {"first": first, "second": second}
    answers: dict[str, Any] = {"first": None, "second": None}
    files = Files()
    while todo:
        for who in list(todo):
            try:
                answer = answers[who]
                if isinstance(answer, OSError):
                    effect = todo[who].throw(answer)
                else:
                    effect = todo[who].send(answer)
            except StopIteration:
                del todo[who]
                continue
            try:
                answers[who] = files.perform(effect)
                if isinstance(effect, RemoveDirectory):
                    deleted[who].add(effect.path.rpartition("/")[2].partition(".")[0])
            except OSError as error:
                answers[who] = error
    assert deleted["first"] | deleted["second"] == {f"{number}-aa" for number in range(4)}
    assert not deleted["first"] & deleted["second"]
    assert deleted["first"]
    assert deleted["second"]


def test_a_long_record_goes_with_the_segment_that_names_it(volume: Volume) -> None:
    named, other = "a" * 64, "b" * 64
    for name in (named, other):
        Path(volume.layout.record(name)).write_text("record")
    volume.retire("3-aa", places=2)
    (volume.retired / "3-aa" / "2").symlink_to(f"01234567@{named}")
    cleaning = volume.cleaning("alive")
    volume.sweep(cleaning)
    volume.clock.now += 2 * LEAST_RETENTION_SECONDS
    volume.sweep(cleaning)
    assert not Path(volume.layout.record(named)).exists()
    assert Path(volume.layout.record(other)).exists()


def test_a_draft_is_deleted_only_when_its_election_is_settled(volume: Volume) -> None:
    for name in ("2-aa", "3-bb", "3-cc", "4-dd"):
        (volume.drafts / name).mkdir()
        (volume.drafts / name / "s0").symlink_to("header")
    cleaning = volume.cleaning("alive")
    volume.sweep(cleaning)
    assert len(list(volume.drafts.iterdir())) == 4
    volume.replica.trail.settled = "3-cc"
    volume.sweep(cleaning)
    assert sorted(path.name for path in volume.drafts.iterdir()) == ["3-cc", "4-dd"]


def test_what_is_not_ours_is_left_alone(volume: Volume) -> None:
    (volume.retired / "notes.txt").write_text("mine")
    (volume.retired / "more").mkdir()
    volume.sweep(volume.cleaning("alive"))
    assert volume.left() == ["more", "notes.txt"]


def test_a_retention_below_the_trust_in_open_directories_is_refused(volume: Volume) -> None:
    with pytest.raises(ValueError, match="retention"):
        Cleaning(volume.replica, "alive", volume.clock, "boot", LEAST_RETENTION_SECONDS - 0.1)
