"""What a crashed master forgets, played on real files in a local directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.scales import small_segments
from volumelease.authorities.volume import founding
from volumelease.authorities.volume.ground import LogForgotten
from volumelease.authorities.volume.layout import FIRST_SEGMENT, SETTLED, Layout
from volumelease.authorities.volume.replica import Replica
from volumelease.clock import Reading
from volumelease.core import records
from volumelease.core.records import Body, Entry, SessionFacts
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.host import ProcessFacts
from volumelease.model import Claim
from volumelease.wire.entries import encode_entry
from volumelease.wire.marks import seal
from volumelease.wire.snapshots import digest_of, encode_snapshot

OPEN = records.Open(SessionFacts(ProcessFacts("host", "boot", 1, 7, 7)))
ENTRIES = 12
CLOSING = 8


class Nobody:
    def entry_applied(self, *facts: Any) -> None: ...

    def table_loaded(self) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    boottime = wall = monotonic

    def read(self) -> Reading:
        return Reading(self.now, self.now, self.now)


class Reader:
    """A worker that reads the log, and writes what its history makes it write."""

    def __init__(self, layout: Layout, name: str) -> None:
        self.name = name
        self.layout = layout
        self.clock = Clock()
        self.replica = Replica(layout, self.clock, Nobody())
        self.numbers = 0
        self.read()

    def run(self, steps: Any) -> Any:
        return Monitor(Files()).run(steps)

    def read(self) -> None:
        self.run(self.replica.catch_up())

    def write(self, body: Body) -> Path:
        assert self.replica.mark is not None
        self.numbers += 1
        text = encode_entry(Entry(self.name, self.numbers, 0.0, body))
        place = Path(self.layout.segment(self.replica.name)) / str(self.replica.place)
        place.symlink_to(seal(self.replica.mark, text))
        self.read()
        return place

    def elect(self) -> str:
        """Fill the segment and elect the next."""
        while self.replica.place < CLOSING:
            self.write(records.Cancel(0))
        name = f"{self.replica.segment + 1}-{ord(self.name[0]):x}"
        draft = Path(self.layout.draft(name))
        draft.mkdir()
        for number, target in enumerate(
            encode_snapshot(self.replica.table, self.replica.segment + 1)
        ):
            (draft / f"s{number}").symlink_to(target)
        self.write(records.Next(name))
        return name

    @property
    def difference(self) -> str:
        return str(self.run(self.replica.trail.difference()))


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    with small_segments(ENTRIES):
        identity, _ = Monitor(Files()).run(
            founding.found(str(tmp_path), founding.Founding("ab", 15.0, 0.0, ready=True))
        )
        yield Layout.of(str(tmp_path), identity)


def test_an_entry_of_who_read_what_is_gone_is_void_for_everybody(layout: Layout) -> None:
    author, ghost, other = (Reader(layout, name) for name in ("a", "ghost", "other"))
    forgotten = author.write(OPEN)
    ghost.read()
    forgotten.unlink()
    ghost.write(OPEN)
    other.write(OPEN)
    assert set(ghost.replica.table.sessions) == {"a", "ghost"}
    assert set(other.replica.table.sessions) == {"other"}
    newcomer = Reader(layout, "newcomer")
    assert newcomer.replica.next_index == other.replica.next_index == 2
    assert digest_of(newcomer.replica.table) == digest_of(other.replica.table)


def test_who_built_on_it_finds_out_though_its_own_last_entry_stands(layout: Layout) -> None:
    author, ghost, other = (Reader(layout, name) for name in ("a", "ghost", "other"))
    forgotten = author.write(OPEN)
    ghost.read()
    assert not ghost.difference
    forgotten.unlink()
    ghost.write(OPEN)
    assert "entry 0 of the log is gone" in ghost.difference
    other.write(OPEN)
    assert "entry 0 of the log is not the one" in ghost.difference
    assert not other.difference


def test_what_was_found_in_place_is_not_read_again_but_for_the_last(layout: Layout) -> None:
    reader = Reader(layout, "a")
    for _ in range(2 * ENTRIES):
        reader.clock.now += 1.0
        reader.elect() if reader.replica.place == CLOSING else reader.write(records.Cancel(0))
    assert len(reader.replica.trail.steps()) == 2 * ENTRIES
    assert not reader.difference
    assert len(reader.replica.trail.steps()) == 4
    reader.clock.now += 1.0
    reader.write(OPEN)
    assert len(reader.replica.trail.steps()) == 5


def test_of_entries_without_a_pause_the_last_are_read_again(layout: Layout) -> None:
    """While a master starts again no call is answered, so it crashed after the last of them."""
    reader = Reader(layout, "a")
    for _ in range(3):
        reader.elect()
        reader.clock.now += 1.0
    assert [step.place for step in reader.replica.trail.steps()] == [5, 6, 7, 8] * 3


def test_what_was_known_before_a_pause_is_missed_though_much_came_after(layout: Layout) -> None:
    reader, other = Reader(layout, "a"), Reader(layout, "other")
    forgotten = reader.write(OPEN)
    reader.clock.now += 1.0
    reader.elect()
    reader.elect()
    forgotten.unlink()
    assert "entry 0 of the log is gone" in reader.difference
    other.write(OPEN)
    assert "entry 0 of the log is not the one" in reader.difference


def test_void_entries_after_the_last_that_counts_do_not_hide_it(layout: Layout) -> None:
    """They may be older than it: written by who knew what an earlier crash forgot."""
    author, reader = Reader(layout, "a"), Reader(layout, "b")
    forgotten = author.write(OPEN)
    for place in range(1, 7):
        (forgotten.parent / str(place)).symlink_to("of another history")
    reader.read()
    assert reader.replica.place == 7
    assert not reader.difference
    forgotten.unlink()
    assert "entry 0 of the log is gone" in reader.difference


@pytest.mark.parametrize("read_before", [0, 3])
def test_a_segment_that_came_back_empty_is_not_the_log(layout: Layout, read_before: int) -> None:
    """A killed founder's ``mkdir`` arrived after its segment was retired."""
    reader, author = Reader(layout, "a"), Reader(layout, "b")
    for _ in range(read_before):
        author.write(records.Cancel(0))
    reader.read()
    author.elect()
    first = Path(layout.segment(FIRST_SEGMENT))
    first.rename(layout.retired(FIRST_SEGMENT))
    first.mkdir()
    reader.clock.now += 10.0
    reader.read()
    assert reader.replica.name == author.replica.name
    assert reader.replica.mark == author.replica.mark


@pytest.mark.parametrize("what_is_left", ["nothing", "the header", "all but the header"])
def test_an_elected_draft_that_was_forgotten_is_made_anew(
    layout: Layout, what_is_left: str
) -> None:
    author, other = Reader(layout, "a"), Reader(layout, "other")
    author.write(OPEN)
    name = author.elect()
    segment = Path(layout.segment(name))
    for link in list(segment.iterdir()):
        if what_is_left == "nothing" or (link.name == "s0") != (what_is_left == "the header"):
            link.unlink()
    if what_is_left == "nothing":
        segment.rmdir()
    other.read()
    assert other.replica.name == name
    assert other.replica.mark == author.replica.mark
    (segment / SETTLED).symlink_to("-")
    newcomer = Reader(layout, "newcomer")
    assert digest_of(newcomer.replica.table) == digest_of(author.replica.table)
    assert newcomer.replica.next_index == ENTRIES


def test_a_move_that_was_forgotten_is_made_again(layout: Layout) -> None:
    author, other = Reader(layout, "a"), Reader(layout, "other")
    name = author.elect()
    Path(layout.segment(name)).rename(layout.draft(name))
    other.read()
    assert other.replica.name == name
    assert Path(layout.segment(name)).is_dir()


def test_two_elections_do_not_meet_in_one_place(layout: Layout) -> None:
    author, ghost, other = (Reader(layout, name) for name in ("a", "ghost", "other"))
    forgotten = author.write(OPEN)
    ghost.read()
    of_ghost = ghost.elect()
    forgotten.unlink()
    other.write(OPEN)
    newest = other.elect()
    assert {of_ghost, newest} <= {path.name for path in Path(layout.folder("log")).iterdir()}
    assert Reader(layout, "newcomer").replica.name == other.replica.name == newest


def test_a_newcomer_does_not_trust_the_newest_segment(layout: Layout) -> None:
    author, ghost = Reader(layout, "a"), Reader(layout, "ghost")
    forgotten = author.write(OPEN)
    ghost.read()
    ghost.elect()
    forgotten.unlink()
    newcomer = Reader(layout, "newcomer")
    assert (newcomer.replica.name, newcomer.replica.next_index) == (FIRST_SEGMENT, 0)


def test_who_finds_its_segment_nowhere_is_lost_if_its_election_is_gone(layout: Layout) -> None:
    author, ghost = Reader(layout, "a"), Reader(layout, "ghost")
    name = author.elect()
    ghost.read()
    for link in list(Path(layout.segment(name)).iterdir()):
        link.unlink()
    Path(layout.segment(name)).rmdir()
    (Path(layout.segment(FIRST_SEGMENT)) / str(CLOSING)).unlink()
    ghost.replica.distrust()
    with pytest.raises(LogForgotten):
        ghost.read()


def test_a_segment_is_settled_when_no_crash_forgets_its_election(layout: Layout) -> None:
    reader = Reader(layout, "a")
    assert not reader.difference
    assert reader.replica.trail.settled == FIRST_SEGMENT
    name = reader.elect()
    assert not reader.difference
    assert reader.replica.trail.settled == FIRST_SEGMENT
    reader.clock.now += 20.0
    assert not reader.difference
    assert reader.replica.trail.settled == name


def test_a_claim_of_a_ghost_is_never_granted(layout: Layout) -> None:
    author, ghost = Reader(layout, "a"), Reader(layout, "ghost")
    author.write(OPEN)
    ghost.read()
    forgotten = ghost.write(OPEN)
    claim = (Claim("x", "x"),)
    ghost.write(records.Request(claim, True, "o"))
    forgotten.unlink()
    author.read()
    author.write(records.Request(claim, True, "o"))
    granted = [h for h in author.replica.table.holdings.values() if h.granted]
    assert [holding.session for holding in granted] == ["a"]
    assert "entry 1 of the log is not the one" in ghost.difference


def test_void_entries_can_not_fill_the_places_in_which_a_segment_is_closed(layout: Layout) -> None:
    author, other = Reader(layout, "a"), Reader(layout, "other")
    while author.replica.place < CLOSING:
        author.write(records.Cancel(0))
    for place in range(CLOSING, 2 * ENTRIES):
        (Path(layout.segment(FIRST_SEGMENT)) / str(place)).symlink_to("garbage")
    author.read()
    name = author.elect()
    author.write(OPEN)
    other.read()
    assert other.replica.name == name
    assert other.replica.next_index == author.replica.next_index == ENTRIES + 1
    assert not other.difference
