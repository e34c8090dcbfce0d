"""A volume for the command line to work on."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from volumelease.authorities.volume import founding
from volumelease.cli.reading import Picture, Reader
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A directory that is a volume, with the shortest ttl."""
    return make_volume(tmp_path / "volume", ttl=2.0)


def make_volume(root: Path, ttl: float) -> Path:
    root.mkdir()
    wanted = founding.Founding(os.urandom(8).hex(), ttl, time.time(), ready=True)
    Monitor(Files()).run(founding.found(str(root), wanted))
    return root


def picture_of(volume: Path) -> Picture:
    return Reader(str(volume)).look()
