"""What a daemon leaves to its successor."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from volumelease.daemon import bequest
from volumelease.daemon.bequest import Bequest, Left
from volumelease.host import ProcessFacts, this_process
from volumelease.leases.volumes import Volumes

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

    monkeypatch.setattr(Volumes, "resume", resume)
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
