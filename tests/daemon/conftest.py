"""Daemons that tests start serve no HTTP, which one alone could at the usual port, unless asked."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLUMELEASE_HTTP", "off")
