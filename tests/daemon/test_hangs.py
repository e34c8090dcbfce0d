"""One volume hangs, and nobody else notices."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from volumelease.client.connecting import Line
from volumelease.leases.hosting import HostedSession

from .test_burials import several


def test_a_volume_that_hangs_stops_no_other_and_nothing_that_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs while its session is opened, and for more requests than there are threads."""
    inside, (hung, well) = several(tmp_path, "xy")
    answers = threading.Event()
    real = HostedSession.open

    def opened(hosted: HostedSession) -> None:
        if hosted.session.layout.root == str(hung):
            answers.wait(30)
        real(hosted)

    monkeypatch.setattr(HostedSession, "open", opened)
    with (
        Line(str(inside.socket), events=False) as line,
        Line(str(inside.socket), events=True) as stuck,
    ):
        assert line.ask("attach", {"path": str(well)})["is"] == "attached"
        for _ in range(40):
            _, data = stuck._side.ask("attach", {"path": str(hung)})
            stuck._send(data)
        soon = {"seconds": 3}
        assert line.ask("ping", soon) == {"is": "pong"}
        assert [one["root"] for one in line.ask("status", soon)["volumes"]] == [str(well)]
        assert line.ask("attach", {"path": str(well), **soon})["is"] == "attached"
        held = line.ask("acquire", {"paths": [str(well / "a")], **soon})
        assert held["is"] == "granted"
        assert line.ask("release", {"token": held["token"], **soon})["is"] == "ended"
        answers.set()
        assert line.ask("acquire", {"paths": [str(hung / "a")], "seconds": 10})["is"] == "granted"
    inside.end()
