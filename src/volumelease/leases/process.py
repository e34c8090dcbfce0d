"""The volumes of this process: made at the first lease, given up at its end."""

from __future__ import annotations

import atexit
import os
import threading

from .guarding import Guarding
from .volumes import Surroundings, Volumes


class _Process:
    """The volumes of this process, made at the first lease and again after a fork."""

    def __init__(self) -> None:
        self.volumes: Volumes | None = None
        self.lock = threading.Lock()
        self.hooked = False

    def get(self) -> Volumes:
        volumes = self.volumes
        if volumes is not None:
            return volumes
        with self.lock:
            if self.volumes is None:
                self.volumes = _guarded(
                    Volumes(Surroundings.of_this_process()._replace(daemon=True))
                )
                if not self.hooked:
                    self.hooked = True
                    os.register_at_fork(after_in_child=self.after_fork)
                    atexit.register(self.at_exit)
            return self.volumes

    def after_fork(self) -> None:
        """The child owns nothing: the sessions and threads are its parent's."""
        self.lock = threading.Lock()
        self.volumes = None

    def at_exit(self) -> None:
        if self.volumes is not None:
            self.volumes.close()


def _guarded(volumes: Volumes) -> Volumes:
    """Those of a user's process: what it writes needs a lease, as far as Python can see."""
    settings, report = volumes.surroundings.settings, volumes.surroundings.report
    if settings.guard != "off":
        volumes.guarding = Guarding(
            enforced=settings.guard == "enforce", say=report, inherited=_leased_by_a_launcher()
        )
    return volumes


def _leased_by_a_launcher() -> tuple[str, ...]:
    """What ``hold`` or ``Lease.run`` holds exclusively for this process, and ends it with."""
    if os.environ.get("VOLUMELEASE_MODE") != "exclusive":
        return ()
    from volumelease.paths.lists import parted

    return parted(os.environ.get("VOLUMELEASE_PATHS", ""))


_process = _Process()


def of_this_process() -> Volumes:
    return _process.get()


def exchange(volumes: Volumes | None) -> Volumes | None:
    """Put others in the place of this process's volumes, for tests; None: its real ones, made
    when they are needed. Returns those that were there."""
    with _process.lock:
        before, _process.volumes = _process.volumes, volumes
    return before
