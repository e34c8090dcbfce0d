"""What the exporter shows: the counts of all sessions, and the volume as it is now."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry

from volumelease import __version__
from volumelease.authorities.volume.fleet import Fleet, Reported
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.reports import Reports
from volumelease.clock import SystemClock
from volumelease.drivers.threads import Patience
from volumelease.errors import LeaseError, VolumeNotFound
from volumelease.leases.gauges import Gauges
from volumelease.metrics.exposition import Metrics, Shown
from volumelease.serving.fresh import Fresh
from volumelease.serving.site import Views
from volumelease.settings import Settings
from volumelease.tallies import OTHER, Counts, Tally, keys_of, scope_of
from volumelease.watch.detector import Detector
from volumelease.watch.violations import Records

from . import history, space, status, violating
from .bells import bell_in_force
from .detecting import detector_of
from .places import Place
from .reading import Picture, Reader, patiently

if TYPE_CHECKING:
    from volumelease.authorities.redis.fleet import RedisFleet
    from volumelease.effects import Steps

FRESH_SECONDS: Final = 1.0
SCRAPE_SECONDS: Final = 4.0
"""Then the volume does not answer, and that is what a scrape says: Prometheus waits for ten."""

SHOWN: Final = 50
"""Violations in the status; all of them: ``status --violations``."""

ROUND_SECONDS: Final = 15.0
"""How often ended sessions are folded, and what costs more than a look is looked at."""


class FleetViews:
    """The views of one volume. ``start`` begins the rounds, in a thread of its own."""

    def __init__(self, place: Place, settings: Settings, report: Callable[[str], None]) -> None:
        self._place = place
        self._settings = settings
        self._report = report
        self._roots = keys_of(settings.roots)
        self._reader = Reader(place.root)
        self._metrics = Metrics(CollectorRegistry(), self.shown)
        self._picture = Fresh(self._reader.look, FRESH_SECONDS)
        self._status = Fresh(self._look_at_status, FRESH_SECONDS)
        self._rarely = Fresh(self._look_closer, ROUND_SECONDS)
        self._records: Records | None = None
        self._last = Counts()
        self._known = False
        self._volume = ""
        self._ttl = 0.0
        self._authority = ""
        self._slow = Gauges()
        self._trouble = ""
        self._tally = Tally(self._roots)
        self._leaving = threading.Lock()  # what is being left on the volume is counted once
        self._detector: Detector | None = None

    def views(self) -> Views:
        return Views(self._metrics.page, lambda _: self._status(), self._history, self._ready)

    def start(self) -> None:
        if self._roots:
            self._detect()
        threading.Thread(target=self._rounds, name="volumelease-rounds", daemon=True).start()

    def close(self) -> None:
        if self._detector is not None:
            self._detector.close()
            with suppress(LeaseError, OSError):
                self._leave(self._picture())

    def _detect(self) -> None:
        """Look for writes without a lease. From here nearly all of them are other hosts'."""
        root = self._place.volume.real_root
        identity = self._picture().identity
        self._detector = detector_of(root, identity, self._settings, self._tally)
        self._detector.start()

    # ---- for Prometheus

    def shown(self) -> Shown:
        """A volume that does not answer is shown too: as one that does not answer, with the
        counts that were known last. Errors: why they are not known yet."""
        gauges = Gauges(self._slow)
        if self._authority:
            gauges["authority_up", self._authority] = 0.0  # unless it answers now
        try:
            gauges.update(Patience().call(lambda _: self._look(), SCRAPE_SECONDS))
        except VolumeNotFound:
            self._known = True  # nobody has counted anything yet
        except (LeaseError, OSError):  # and TimeoutError
            # Counters that begin at 0 here would seem to rise by all that was ever counted.
            if not self._known:
                raise
        gauges["ttl_seconds",] = (
            self._ttl
        )  # 0: no volume yet; else there is one, if it answers or not
        if self._detector is not None:
            gauges.update(self._detector.gauges())
        scopes = (*self._roots, OTHER)
        return Shown(self._last, gauges, scopes, self._volume, __version__)

    def _look(self) -> Gauges:
        found = Gauges()
        picture = self._picture()
        identity = picture.identity
        self._volume, self._ttl, self._authority = identity.id, identity.ttl, identity.authority
        with self._leaving:
            reported = self._reported(picture).counts
            own = self._tally.counts().add(self._tally.reported, -1)
            self._last = reported.add(own)
        self._known = True
        self._add_picture(found, picture)
        return found

    def _add_picture(self, gauges: Gauges, picture: Picture) -> None:
        identity, now = picture.identity, time.time()
        for holding in list(picture.table.holdings.values()):
            scope = scope_of(self._roots, holding.claims[0].key)
            since = holding.granted_wall if holding.granted else holding.requested_wall
            gauges.lease(scope, holding.granted, now - since)
        gauges["authority_up", identity.authority] = 1.0
        if identity.authority == "volume":
            gauges["log_entries",] = float(picture.next_index)

    def _reported(self, picture: Picture) -> Reported:
        identity = picture.identity
        if identity.authority == "redis":
            on_redis: Reported = self._on_redis(picture, lambda fleet: fleet.read())
            return on_redis
        fleet = Fleet(Layout.of(self._place.root, identity), SystemClock())
        reported: Reported = self._reader.run(fleet.read())
        return reported

    def _on_redis(self, picture: Picture, does: Callable[[RedisFleet], Steps[Any]]) -> Any:
        from volumelease.authorities.redis.fleet import RedisFleet
        from volumelease.drivers.files import Files
        from volumelease.drivers.threads import Monitor
        from volumelease.leases.redis_hosting import scripts_on

        fleet = RedisFleet(picture.identity.id, SystemClock())
        scripts = scripts_on(self._settings, self._place.root, Files())
        try:
            return Monitor(scripts).run(does(fleet))
        finally:
            scripts.close()

    # ---- for people and programs

    def _look_at_status(self) -> dict[str, Any]:
        picture = self._picture()
        bell, space_ = self._rarely()
        self._records = self._records or violating.records_of(self._place, picture)
        violations = violating.on_record(self._place, picture, self._records)
        costly = status.Costly(bell, space_, violations)
        found = status.as_document(self._place, picture, costly)
        found["violations"] = violating.document(self._place, violations[-SHOWN:])
        found["detection"] = self._coverage()
        found["now"] = time.time()
        return found

    def _look_closer(self) -> tuple[str, dict[str, Any]]:
        """The bell in force and the space in use: an open page asks every two seconds."""
        picture = self._picture()
        bell = bell_in_force(self._place.root, picture, self._settings)
        return bell, space.document(self._place, picture)

    def _coverage(self) -> dict[str, Any]:
        return coverage(self._settings.roots, self._detector)

    def _history(self, path: str) -> dict[str, Any]:
        return history.document_of(self._place, path)

    def _ready(self) -> str:
        try:
            self._picture()
        except (LeaseError, OSError) as error:
            return str(error)
        return ""

    # ---- rounds

    def _rounds(self) -> None:
        while True:
            try:
                self._round()
                self._trouble = ""
            except (LeaseError, OSError) as error:
                if str(error) != self._trouble:  # told once, until it is over or another
                    self._trouble = str(error)
                    self._report(f"the fleet's counts wait: {error}")
            time.sleep(ROUND_SECONDS)

    def _round(self) -> None:
        picture = self._picture()
        layout = Layout.of(self._place.root, picture.identity)
        self._leave(picture)
        if picture.identity.authority == "redis":
            self._on_redis(picture, lambda fleet: fleet.fold())
        else:
            fleet = Fleet(layout, SystemClock())
            replica = self._reader.replica  # whose table a snapshot can replace meanwhile
            lives = lambda name: name in replica.table.sessions  # noqa: E731
            self._reader.run(fleet.fold(lives, replica.catch_up))
        slow, (bell, used) = Gauges(), self._rarely()
        slow["bell_up", bell] = slow["bell_up", "poll"] = 1.0
        slow["clock_skew_seconds",] = patiently(lambda: skew_on(layout), self._place.root)
        slow["staged_bytes", OTHER] = float(used["drafts"]["bytes"])
        self._slow = slow

    def _leave(self, picture: Picture) -> None:
        """What detection counted here is left with the reports, else a restart would take it from
        the sum: to Prometheus that is a counter that began anew."""
        with self._leaving:
            if picture.identity.authority == "redis":
                self._on_redis(picture, lambda fleet: fleet.leave(self._tally))
            else:
                layout = Layout.of(self._place.root, picture.identity)
                own = Reports(layout, os.urandom(8).hex(), self._tally, SystemClock())
                self._reader.run(own.leave())


def skew_on(layout: Layout) -> float:
    """How far the volume's clock is ahead of this host's, in seconds; what is less than their
    granularity counts as none. Errors: ``OSError``."""
    probe = f"{layout.control}/.clock-{os.getpid()}"
    before = time.time()
    os.symlink("now", probe)
    try:
        ahead = os.lstat(probe).st_mtime - (before + time.time()) / 2
    finally:
        os.unlink(probe)
    return ahead if abs(ahead) > 1.0 else 0.0


def coverage(roots: tuple[str, ...], detector: Detector | None) -> dict[str, Any]:
    """What detection sees from here, for ``/api/v1/status``."""
    if detector is None:
        return {"running": False, "roots": list(roots), "trouble": ""}
    gauges = detector.gauges()
    return {
        "running": detector.ready,
        "roots": list(roots),
        "trouble": detector.trouble,
        "directories": int(gauges["watched_directories",]),
        "watches": int(gauges["watches",]),
        "overflows": detector.overflows,
        "last_scan": dict(detector.last_scan),
    }
