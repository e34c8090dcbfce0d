"""Sessions whose names no program of ours gives: a forged record must not block others for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.observer import Observer
from volumelease.core.liveness import Timing
from volumelease.core.records import Entry, Open, SessionFacts
from volumelease.core.table import Table
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.host import ProcessFacts
from volumelease.testing import ManualClock

TIMING = Timing(15.0)


def expired(folder: Path, name: str) -> list[str]:
    """Who may be ended after that session was watched for a while."""
    table = Table(grace=False)
    facts = SessionFacts(ProcessFacts("elsewhere", "boot", 7, 1, 5))
    table.apply(0, Entry(name, 1, 0.0, Open(facts)))
    clock = ManualClock()
    observer = Observer(Layout.first(str(folder), "ab"), TIMING, clock, None)
    over: list[tuple[str, str]] = []
    for _ in range(40):
        over = Monitor(Files()).run(observer.watch([name], table))
        clock.advance(0.5)
    return [name for name, _ in over]


@pytest.mark.parametrize("name", ["a\0b", "a\ud800", "x" * 300, "nowhere/else", "ab" * 8])
def test_a_session_that_can_have_no_heartbeat_stands_still(tmp_path: Path, name: str) -> None:
    assert expired(tmp_path, name) == [name]


def test_a_plain_name_whose_file_can_not_be_looked_at_proves_nothing(tmp_path: Path) -> None:
    sessions = tmp_path / ".volumelease/ab"
    sessions.mkdir(parents=True)
    (sessions / "sessions").write_text("no directory")
    assert expired(tmp_path, "ab" * 8) == []
