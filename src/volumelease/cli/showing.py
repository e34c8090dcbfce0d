"""What a daemon shows over HTTP, beside its event loop and never in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from volumelease.errors import SettingsInvalid, VolumeNotFound
from volumelease.leases.hosting import Hosting
from volumelease.paths.locate import VolumeRoot
from volumelease.settings import HTTP_OFF, Settings

if TYPE_CHECKING:
    from volumelease.serving.site import Views

    from .worker_views import WorkerViews

_SETTING: Final = "VOLUMELEASE_HTTP"


class Showing:
    """Metrics, health and the status page of one daemon, and the detector beside it.

    ``start`` returns at once; all else happens in threads of its own, and whatever goes wrong
    there is told and costs no lease. All volumes that the daemon serves are shown and watched:
    metrics put them together, the status is of the one that is asked for.
    """

    def __init__(self, settings: Settings, report: Callable[[str], None]) -> None:
        self._settings = settings
        self._report = report
        self._lock = threading.Lock()
        self._hosted: dict[str, Hosting[Any]] = {}
        """The session of each volume, by identity."""
        self._shown: dict[str, tuple[VolumeRoot, WorkerViews]] = {}

    def start(self) -> None:
        if self._settings.http != HTTP_OFF:
            threading.Thread(target=self._serve, name="volumelease-show", daemon=True).start()

    def opened(self, root: VolumeRoot, hosted: Hosting[Any]) -> None:
        """The daemon has that session from now on."""
        if self._settings.http == HTTP_OFF:
            return
        volume = hosted.session.identity.id
        with self._lock:
            first = volume not in self._hosted
            self._hosted[volume] = hosted
        if first:
            work = lambda: self._look_at(root, volume, hosted)  # noqa: E731
            threading.Thread(target=work, name="volumelease-look", daemon=True).start()

    # ---- in threads of its own

    def _serve(self) -> None:
        settings = self._settings
        try:
            from volumelease.serving.server import Server

            server = Server(
                settings.http,
                self._views(),
                token_file=settings.http_token_file,
                cert_file=settings.http_cert_file,
                key_file=settings.http_key_file,
            )
            server.start()
        except ImportError as error:
            if _SETTING in os.environ:
                self._report(
                    f"nothing is served on {settings.http}: {error.name} is not installed "
                    "(pip install volumelease[metrics])"
                )
        except SettingsInvalid as error:
            self._report(f"nothing is served over HTTP: {error}")

    def _look_at(self, root: VolumeRoot, volume: str, hosted: Hosting[Any]) -> None:
        try:
            from .worker_views import WorkerViews
        except ImportError:
            return  # said where it matters
        from .places import Place

        detector = self._detector(root, hosted)
        live = lambda: self._live(volume)  # noqa: E731
        views = WorkerViews(Place(root), self._settings, self._report, live, detector)
        with self._lock:
            self._shown = {**self._shown, volume: (root, views)}

    def _detector(self, root: VolumeRoot, hosted: Hosting[Any]) -> Any:
        """Running; None without roots."""
        if not self._settings.roots:
            return None
        from .detecting import detector_of

        identity = hosted.session.identity
        detector = detector_of(root.real_root, identity, self._settings, hosted.tally)
        detector.start()
        return detector

    def _live(self, volume: str) -> Hosting[Any] | None:
        hosted = self._hosted[volume]
        return hosted if hosted.alive() else None

    # ---- what is shown

    def _views(self) -> Views:
        from volumelease.serving.site import Views

        return Views(self._metrics, self._status, self._history, self._ready)

    def _metrics(self, accept: str) -> tuple[str, bytes]:
        shown = self._shown
        if not shown:
            return self._nothing(accept)
        from concurrent.futures import ThreadPoolExecutor

        from prometheus_client import CollectorRegistry

        from volumelease.metrics.exposition import Metrics

        # Side by side: each that does not answer takes seconds, and a scrape has ten.
        with ThreadPoolExecutor(max_workers=len(shown)) as pool:
            first, *others = pool.map(lambda one: one[1].shown(), shown.values())
        together = first._replace(others=tuple(others))
        return Metrics(CollectorRegistry(), lambda: together).page(accept)

    def _status(self, volume: str) -> dict[str, Any]:
        found = self._of(volume).status("")
        known = [{"id": name, "root": root.root} for name, (root, _) in self._shown.items()]
        return {**found, "volumes": known}

    def _history(self, path: str) -> dict[str, Any]:
        """Of the volume that the path lies on."""
        for name, (root, _) in self._shown.items():
            if f"{path}/".startswith(f"{root.root.rstrip('/')}/"):
                return self._of(name).history(path)
        return self._of("").history(path)

    def _ready(self) -> str:
        said = [views.views().ready() for _, views in self._shown.values()]
        return next(filter(None, said), "")

    def _of(self, volume: str) -> Views:
        """Errors: ``VolumeNotFound`` before a volume is in use, and for another one."""
        shown = self._shown
        found = shown.get(volume or next(iter(shown), ""))
        if found is not None:
            return found[1].views()
        which = f"the volume {volume}" if volume else "a volume"
        raise VolumeNotFound(
            f"no process of this container has used {which} yet",
            advice="Take a lease; or see the whole fleet: volumelease exporter",
            path="",
        )

    def _nothing(self, accept: str) -> tuple[str, bytes]:
        """Every series at 0, so that ``increase()`` sees the first step of each."""
        from prometheus_client import CollectorRegistry

        from volumelease import __version__
        from volumelease.metrics.exposition import Metrics, Shown
        from volumelease.tallies import OTHER, Counts

        scopes = (*self._settings.roots, OTHER)
        empty = Shown(Counts(), {}, scopes, "", __version__)
        return Metrics(CollectorRegistry(), lambda: empty).page(accept)
