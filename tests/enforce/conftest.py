"""Fixtures of the tests of enforcement."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import run


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    place = tmp_path / "volume"
    (place / "a").mkdir(parents=True)
    (place / "b").mkdir()
    (place / "b/f").write_text("f")
    assert run("init", place).returncode == 0
    return place
