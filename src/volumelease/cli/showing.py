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
    there is told and costs no lease. Limit: of several volumes in use, the one that was used first
    is shown.
    """

    def __init__(self, settings: Settings, report: Callable[[str], None]) -> None:
        self._settings = settings
        self._report = report
        self._lock = threading.Lock()
        self._volume = ""
        self._hosted: Hosting[Any] | None = None
        self._shown: WorkerViews | None = None

    def start(self) -> None:
        if self._settings.http != HTTP_OFF:
            threading.Thread(target=self._serve, name="volumelease-show", daemon=True).start()

    def opened(self, root: VolumeRoot, hosted: Hosting[Any]) -> None:
        """The daemon has that session from now on."""
        if self._settings.http == HTTP_OFF:
            return
        with self._lock:
            first, volume = not self._volume, hosted.session.identity.id
            if first:
                self._volume = volume
            if volume == self._volume:
                self._hosted = hosted
        if first:
            work = lambda: self._look_at(root, hosted)  # noqa: E731
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

    def _look_at(self, root: VolumeRoot, hosted: Hosting[Any]) -> None:
        try:
            from .worker_views import WorkerViews
        except ImportError:
            return  # said where it matters
        from .places import Place

        detector = self._detector(root, hosted)
        self._shown = WorkerViews(Place(root), self._settings, self._report, self._live, detector)

    def _detector(self, root: VolumeRoot, hosted: Hosting[Any]) -> Any:
        """Running; None without roots."""
        if not self._settings.roots:
            return None
        from .detecting import detector_of

        identity = hosted.session.identity
        detector = detector_of(root.real_root, identity, self._settings, hosted.tally)
        detector.start()
        return detector

    def _live(self) -> Hosting[Any] | None:
        hosted = self._hosted
        return hosted if hosted is not None and hosted.alive() else None

    # ---- what is shown

    def _views(self) -> Views:
        from volumelease.serving.site import Views

        return Views(self._metrics, self._status, self._history, self._ready)

    def _metrics(self, accept: str) -> tuple[str, bytes]:
        return self._now.metrics(accept) if self._shown else self._nothing(accept)

    def _status(self) -> dict[str, Any]:
        return self._now.status()

    def _history(self, path: str) -> dict[str, Any]:
        return self._now.history(path)

    def _ready(self) -> str:
        return self._now.ready() if self._shown else ""

    @property
    def _now(self) -> Views:
        """Errors: ``VolumeNotFound`` before a volume is in use."""
        if self._shown is None:
            raise VolumeNotFound(
                "no process of this container has used a volume yet",
                advice="Take a lease; or see the whole fleet: volumelease exporter",
                path="",
            )
        return self._shown.views()

    def _nothing(self, accept: str) -> tuple[str, bytes]:
        """Every series at 0, so that ``increase()`` sees the first step of each."""
        from prometheus_client import CollectorRegistry

        from volumelease import __version__
        from volumelease.metrics.exposition import Metrics, Shown
        from volumelease.tallies import OTHER, Counts

        scopes = (*self._settings.roots, OTHER)
        empty = Shown(Counts(), {}, scopes, "", __version__)
        return Metrics(CollectorRegistry(), lambda: empty).page(accept)
