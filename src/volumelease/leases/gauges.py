"""What a session of this process has at this moment, as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumelease.tallies import Key

if TYPE_CHECKING:
    from .hosting import Hosting


class Gauges(dict[Key, float]):
    """Values by key; those of several volumes or sources are put together with ``update``."""

    def raise_to(self, key: Key, value: float) -> None:
        self[key] = max(self.get(key, 0.0), value)

    def add(self, key: Key, value: float = 1.0) -> None:
        self[key] = self.get(key, 0.0) + value

    def lease(self, scope: str, granted: bool, seconds: float) -> None:
        """One more that is held, or waited for, since so long."""
        self.add(("held" if granted else "waiters", scope))
        oldest = "oldest_hold_seconds" if granted else "oldest_wait_seconds"
        self.raise_to((oldest, scope), max(0.0, seconds))


def gauges_of(hosted: Hosting[Any]) -> Gauges:
    """Of one session in this process. Never blocks on the volume."""
    found, session, tally = Gauges(), hosted.session, hosted.tally
    for claims, granted, since in hosted.own_requests():
        found.lease(tally.scope(claims), granted, hosted.clock.wall() - since)
    found["ttl_seconds",] = session.timing.ttl
    authority = session.identity.authority
    found["authority_up", authority] = float(session.alive())
    if authority == "volume":
        found["log_entries",] = float(hosted.tail())
    if hosted.belfry is not None:
        for bell, up in hosted.belfry.up().items():
            found["bell_up", bell] = float(up)
    return found
