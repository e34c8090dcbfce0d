"""What a daemon leaves to its successor."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from volumelease.daemon import bequest, reception
from volumelease.daemon.bequest import Bequest, Left
from volumelease.daemon.page import Page
from volumelease.host import ProcessFacts, this_process

from .inside import Inside, surroundings


def of_the_dead() -> ProcessFacts:
    with subprocess.Popen(["sleep", "60"]) as process:
        facts = this_process(process.pid)
        process.kill()
    return facts


def test_a_successor_says_that_it_is_the_one_before_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    will = str(tmp_path / "s.sessions")
    left = Left(str(tmp_path), "volume", "session", 0)
    bequest.write(will, Bequest(of_the_dead(), (left,)))
    found: list[Bequest | None] = []

    def resume(*args: Any) -> None:
        del args
        found.append(bequest.read(will))

    monkeypatch.setattr(reception, "resume", resume)
    inside = Inside(tmp_path / "s", surroundings(tmp_path))
    here = this_process()
    assert [one and one.process.pid for one in found] == [here.pid]
    assert found[0]
    assert found[0].sessions == (left,)
    after = bequest.read(will)
    assert after
    assert after.process.pid == here.pid
    assert after.sessions == ()
    inside.end()


def test_a_link_that_lies_where_a_daemon_writes_leads_it_nowhere(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("x")
    for name in ("page", "will"):
        (tmp_path / f"{name}.new").symlink_to(precious)
    Page(str(tmp_path / "page"))
    bequest.write(str(tmp_path / "will"), Bequest(this_process(), ()))
    assert precious.read_text() == "x"
    assert not (tmp_path / "page").is_symlink()
    assert bequest.read(str(tmp_path / "will")) == Bequest(this_process(), ())
