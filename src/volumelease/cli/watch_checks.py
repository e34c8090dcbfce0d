"""Checks of what detection needs: watches of the kernel, and time to look at every file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from .checks import Check, Patient
from .places import settings_of_this_process

_LIMITS: Final = Path("/proc/sys/fs/inotify")
_LOOK_SECONDS: Final = 3.0
_SWEEP_SECONDS: Final = 60.0
_SHARE: Final = 0.25
"""Of the time that a sweep may take, as in ``volumelease.watch``."""


def detection(patient: Patient) -> Check:
    """How many directories and files lie below the configured roots, and whether the limits of
    this machine suffice for them."""
    roots = settings_of_this_process().roots
    if not roots:
        return Check("detection", "ok", "off: VOLUMELEASE_ROOTS names nothing to look at")
    root = patient.place.volume.real_root if patient.place is not None else patient.directory
    directories, files, spent, whole = _counted([os.path.join(root, name) for name in roots])
    try:
        watches, queue = _limit("max_user_watches"), _limit("max_queued_events")
    except (OSError, ValueError) as error:
        return Check("detection", "warn", f"no inotify here: {error}", "All counts as unknown")
    least = "" if whole else "at least "
    detail = (
        f"{least}{directories} directories and {files} files below {', '.join(roots)}, looked at "
        f"in {spent:.1f} s; the kernel lets a user watch {watches} directories and queues {queue} "
        "events"
    )
    if directories > watches:
        advice = f"sysctl fs.inotify.max_user_watches={2 * directories} on the host"
        return Check("detection", "warn", detail, advice)
    if not whole or spent > _SWEEP_SECONDS * _SHARE:
        advice = "Name fewer roots: a sweep of these takes longer than a minute"
        return Check("detection", "warn", detail, advice)
    return Check("detection", "ok", detail)


def _limit(name: str) -> int:
    return int((_LIMITS / name).read_text())


def _counted(roots: list[str]) -> tuple[int, int, float, bool]:
    """Directories, files, the seconds it took, and whether that was all: a few seconds tell."""
    began = time.monotonic()
    directories = files = 0
    for root in roots:
        for folder, _, names in os.walk(root):
            directories, files = directories + 1, files + len(names)
            for name in names:
                try:
                    os.lstat(os.path.join(folder, name))
                except OSError:
                    continue
            if time.monotonic() - began > _LOOK_SECONDS:
                return directories, files, time.monotonic() - began, False
    return directories, files, time.monotonic() - began, True
