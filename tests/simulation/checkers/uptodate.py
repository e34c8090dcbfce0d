"""Up to date: a beat that counts has read all that anybody had read when it was sent."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from volumelease.core.records import Entry
from volumelease.core.table import Outcome

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import WatchedSession


class UpToDate(Checker):
    """A deadline is as long as it is because nobody was told to be gone before the beat."""

    name = "up to date"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._known: dict[str, tuple[list[float], list[int]]] = {}
        """For each log, when an index was first applied by anybody, and that index."""
        self._blind_until = -1.0

    def applied(self, session: WatchedSession, index: int, entry: Entry, outcome: Outcome) -> None:
        if not self._judges(session):
            return
        times, indexes = self._known.setdefault(session.log, ([], []))
        if not indexes or index > indexes[-1]:
            times.append(self.fleet.world.now)
            indexes.append(index)

    def beaten(self, session: WatchedSession) -> None:
        if session.log_deleted or not self._judges(session):
            return
        times, indexes = self._known.get(session.log, ([], []))
        before = bisect_left(times, session.knew_at)
        if before and session.replica.next_index <= indexes[before - 1]:
            raise self.violation(
                f"the beat of {session.worker.process.name} counts from {session.knew_at:.3f}, "
                f"when entry {indexes[before - 1]} was known, and it has read up to "
                f"{session.replica.next_index}"
            )

    def _judges(self, session: WatchedSession) -> bool:
        return self.fleet.world.now >= self._blind_until and self.fleet.counts(session)

    def state_lost(self) -> None:
        """Until the next beats some know what was forgotten, and read on after it."""
        self._known.clear()
        self._blind_until = self.fleet.world.now + self.fleet.setup.ttl * 1.1 + 1.0
