"""What a daemon shows of its own container: its session's counts, and the volume as it is now."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from volumelease.authorities.volume.fleet import Reported
from volumelease.enforce.levels import in_force
from volumelease.leases.gauges import Gauges, gauges_of
from volumelease.leases.hosting import Hosting
from volumelease.settings import Settings
from volumelease.tallies import Counts
from volumelease.watch.detector import Detector

from .fleet_views import FleetViews
from .places import Place
from .reading import Picture


class WorkerViews(FleetViews):
    """``hosted`` is the live session of this process, None where there is none at the moment;
    ``detector`` what watches the volume from here, if anything does. Both belong to the caller,
    and so does the tally that the detector counts into: the session's, so that the fleet hears of
    it. Limit: counts are of this process since it began."""

    def __init__(
        self,
        place: Place,
        settings: Settings,
        report: Callable[[str], None],
        hosted: Callable[[], Hosting[Any] | None],
        detector: Detector | None = None,
    ) -> None:
        super().__init__(place, settings, report)
        self._hosted = hosted
        self._detector = detector
        self._counted = Counts()

    def start(self) -> None:
        """Nothing: a worker folds no reports but when they are many, in its beats."""

    def close(self) -> None:
        """Nothing: what it shows belongs to others."""

    def _reported(self, picture: Picture) -> Reported:
        hosted = self._hosted()
        if hosted is not None:
            self._counted = hosted.tally.counts()
        return Reported(self._counted.copy(), 1, 0)

    def _add_picture(self, gauges: Gauges, picture: Picture) -> None:
        gauges["enforcement_level", in_force(os.environ, self._settings)] = 1.0
        hosted = self._hosted()
        if hosted is not None:
            gauges.update(gauges_of(hosted))
