"""Which volume a command means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from volumelease.core.conflicts import overlaps
from volumelease.errors import LeaseError, VolumeNotFound
from volumelease.paths.canonical import canonical
from volumelease.paths.locate import CANDIDATES, VolumeRoot, locate
from volumelease.paths.mounts import Mount
from volumelease.settings import Settings, load


@dataclass(frozen=True, slots=True)
class Place:
    """A volume, and the subtree of it that was asked for (``key`` ``""``: all of it)."""

    volume: VolumeRoot
    key: str = ""

    @property
    def root(self) -> str:
        return self.volume.root

    @property
    def mount(self) -> Mount:
        return self.volume.mount

    @property
    def kind(self) -> str:
        """The mount in words."""
        return f"{self.mount.fstype} from {self.mount.source}"

    def as_document(self, identity_id: str) -> dict[str, str]:
        """The volume, as every command tells it to programs."""
        return {
            "id": identity_id,
            "root": self.root,
            "fstype": self.mount.fstype,
            "source": self.mount.source,
        }

    def concerns(self, paths: tuple[str, ...]) -> bool:
        """Whether any of these volume-relative paths lies above, at or below what was asked."""
        return any(overlaps(path, self.key) for path in paths)

    def absolute(self, paths: tuple[str, ...]) -> list[str]:
        """Volume-relative paths as they are on this host."""
        base = self.root.rstrip("/")
        return [f"{base}/{path}" if path else self.root for path in paths]


def settings_of_this_process() -> Settings:
    return load(os.environ)


def place_of(path: str | None) -> Place:
    """The volume that ``path`` is on; without a path, the one that is configured, else that of
    the working directory, else what the platform mounted.

    Errors: ``VolumeNotFound`` and the others of ``locate``.
    """
    explicit = settings_of_this_process().volume
    if path is None:
        return Place(locate(explicit, explicit=explicit) if explicit else _usual_volume())
    try:
        volume = locate(path, explicit=None)
    except VolumeNotFound:
        if not explicit:
            raise
        volume = locate(path, explicit=explicit)
    return Place(volume, canonical(path, volume).key)


def _usual_volume() -> VolumeRoot:
    for candidate in (str(Path.cwd()), *CANDIDATES):
        try:
            return locate(candidate, explicit=None)
        except LeaseError:
            continue
    raise VolumeNotFound(
        "no volume is mounted here, and the working directory is on none",
        advice="Name a directory of the volume, or set VOLUMELEASE_VOLUME",
        path=str(Path.cwd()),
    )
