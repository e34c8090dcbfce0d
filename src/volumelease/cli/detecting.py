"""A detector for one volume, whatever keeps its leases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumelease.authorities.volume.layout import Layout
from volumelease.clock import SystemClock
from volumelease.host import this_process
from volumelease.watch.detector import Detector

if TYPE_CHECKING:
    from volumelease.settings import Settings
    from volumelease.tallies import Tally
    from volumelease.watch.histories import History
    from volumelease.wire.identity import Identity


def detector_of(root: str, identity: Identity, settings: Settings, tally: Tally) -> Detector:
    """Not started yet. It counts into ``tally``."""
    return Detector(
        Layout.of(root, identity),
        settings.roots,
        SystemClock(),
        this_process(),
        tally,
        history=_on_redis(root, identity, settings) if identity.authority == "redis" else None,
    )


def _on_redis(root: str, identity: Identity, settings: Settings) -> History:
    from volumelease.drivers.files import Files
    from volumelease.drivers.threads import Monitor
    from volumelease.leases.redis_hosting import scripts_on
    from volumelease.watch.histories import TableHistory

    alone = settings._replace(redis_replicas=0)  # nothing that it asks for has to last
    return TableHistory(identity.id, Monitor(scripts_on(alone, root, Files())), SystemClock())
