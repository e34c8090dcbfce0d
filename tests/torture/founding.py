"""Making a volume that is ready to be tortured."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.redis import storm

from .hand import FOLDERS

AUTHORITIES: Final[tuple[storm.Authority, ...]] = ("volume", "redis")


def make_volume(root: Path, ttl: float, authority: storm.Authority, url: str) -> None:
    """A volume at ``root``, which is made, with the directories that hands publish in."""
    folder = root.parent / f".making-{root.name}"
    folder.mkdir()
    storm.make_volume(folder, ttl, authority, url)
    (folder / "volume").rename(root)
    folder.rmdir()
    for name in FOLDERS:
        (root / name).mkdir(parents=True)
