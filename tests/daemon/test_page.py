"""The page of deadlines: what a client may believe of a slot, and for how long it is one's."""

from __future__ import annotations

from pathlib import Path

import pytest

from volumelease.client.deadlines import Belief, Deadlines
from volumelease.clock import Reading
from volumelease.daemon import page as pages
from volumelease.daemon.page import Page
from volumelease.wire import slots


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(str(tmp_path / "page"))


def seen(page: Page, slot: int) -> Deadlines:
    return Deadlines(page.path, slot, page.tag(slot))


def test_the_slot_of_a_lost_session_is_not_the_next_sessions(page: Page) -> None:
    first = page.free_slot()
    page.show(first, 1e9)
    page.lose(first)
    assert page.free_slot() != first


def test_nobody_brings_a_lost_session_back_with_a_late_deadline(page: Page) -> None:
    slot = page.free_slot()
    page.lose(slot)
    page.show(slot, 1e9)
    assert seen(page, slot).deadline() == slots.LOST
    again = Page(page.path)
    assert again.deadline(slot) == slots.LOST
    assert again.free_slot() != slot


def test_who_looks_at_a_slot_that_became_another_ones_has_lost(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = page.free_slot()
    page.show(slot, 1e9)
    deadlines = seen(page, slot)
    assert deadlines.deadline() == 1e9
    monkeypatch.setattr(pages, "REST_SECONDS", -1.0)
    assert page.free_slot() == slot
    page.show(slot, 2e9)
    assert deadlines.deadline() == slots.LOST
    assert seen(page, slot).deadline() == 2e9


def test_a_page_with_no_slot_left_says_so(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "SLOTS", 3)
    for _ in range(slots.SLOTS):
        page.free_slot()
    with pytest.raises(OSError, match="in an hour"):
        page.free_slot()


class Hands:
    """Clocks set by hand."""

    def __init__(self) -> None:
        self.now = Reading(100.0, 100.0, 1e9)

    def monotonic(self) -> float:
        return self.now.monotonic

    def boottime(self) -> float:
        return self.now.boottime

    def wall(self) -> float:
        return self.now.wall

    def read(self) -> Reading:
        return self.now

    def go_on(self, monotonic: float, boottime: float, wall: float) -> None:
        was = self.now
        self.now = Reading(was.monotonic + monotonic, was.boottime + boottime, was.wall + wall)


@pytest.mark.parametrize(
    ("passed", "lost"),
    [
        ((2.0, 2.0, 2.0), ""),
        ((2.0, 2.0, 1000.0), "the wall clock jumped"),
        ((2.0, 9.0, 9.0), "suspended"),
        ((12.0, 12.0, 12.0), "no beat"),
    ],
)
def test_a_process_that_was_away_believes_no_page(
    page: Page, passed: tuple[float, float, float], lost: str
) -> None:
    slot, hands = page.free_slot(), Hands()
    page.show(slot, 105.0)
    about = {"page": page.path, "slot": slot, "tag": page.tag(slot), "ttl": 15.0, "cache": 1.0}
    about["margin"] = 3.0
    belief = Belief(about, hands)
    hands.go_on(1.0, 1.0, 1.0)
    page.show(slot, 112.0)
    assert belief.loss() == ""
    hands.go_on(*passed)
    assert lost in belief.loss()
    assert bool(belief.loss()) == bool(lost)


def test_what_is_in_doubt_is_sure_until_the_deadline_without_the_alarm(page: Page) -> None:
    slot, hands = page.free_slot(), Hands()
    page.show(slot, 112.0)
    about = {"page": page.path, "slot": slot, "tag": page.tag(slot), "ttl": 15.0, "cache": 1.0}
    belief = Belief({**about, "margin": 3.0}, hands)
    assert not belief.in_doubt()
    page.alarm(slot)
    page.show(slot, 117.0)  # by a beat that knows what the alarm was for
    assert belief.loss() == ""
    assert belief.in_doubt()
    assert belief.sure_seconds() == 12.0
    hands.go_on(12.0, 12.0, 12.0)
    assert belief.loss() == ""
    assert belief.sure_seconds() == 0.0
    belief.answered(belief.look())
    assert not belief.in_doubt()
    assert belief.sure_seconds() == 5.0


def test_who_sees_an_alarm_too_late_has_the_time_to_ask(page: Page) -> None:
    slot, hands = page.free_slot(), Hands()
    page.show(slot, 112.0)
    about = {"page": page.path, "slot": slot, "tag": page.tag(slot), "ttl": 15.0, "cache": 1.0}
    belief = Belief({**about, "margin": 3.0}, hands)
    page.alarm(slot)
    page.show(slot, 157.0)
    hands.go_on(50.0, 50.0, 50.0)  # another thread kept the GIL
    assert belief.in_doubt()
    assert belief.sure_seconds() == belief.last_seconds == 2.0
    hands.go_on(2.0, 2.0, 2.0)
    assert belief.in_doubt()
    assert belief.sure_seconds() == 0.0
