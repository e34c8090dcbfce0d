"""A runbook for each alert: what it means, what is at risk, what to look at, what to do."""

from __future__ import annotations

import re
from typing import Final

import pytest

from .blocks import ROOT

PAGE: Final = ROOT / "docs" / "runbooks.md"
RULES: Final = ROOT / "deploy" / "prometheus" / "volumelease.rules.yml"
PARTS: Final = ("What it means.", "At risk.", "Look at.", "Do.")


def runbooks() -> dict[str, str]:
    _, *parts = re.split(r"^## (\w+)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    alerts = set(re.findall(r"^\s*- alert: (\w+)", RULES.read_text(), re.MULTILINE))
    assert alerts, "no alerts were found"
    assert set(runbooks()) == alerts


@pytest.mark.parametrize("alert", sorted(runbooks()))
def test_a_runbook_says_all_it_has_to(alert: str) -> None:
    text = runbooks()[alert]
    places = [text.find(f"**{part}**") for part in PARTS]
    assert -1 not in places, f"{alert} lacks {PARTS[places.index(-1)]}"
    assert places == sorted(places)
    assert "```sh" in text[places[2] :], f"{alert} names no command"
