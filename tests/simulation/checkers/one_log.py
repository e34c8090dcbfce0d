"""One log: at one index one record for everybody, no record twice, equal tables everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumelease.core.records import Entry
from volumelease.core.table import Outcome
from volumelease.wire.snapshots import digest_of

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import WatchedSession

EVERY = 8
"""Tables are compared after every so many entries: comparing costs more than applying."""


class OneLog(Checker):
    """Judges what replicas applied, not what lies on the volume: only that has an effect."""

    name = "one log"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._entries: dict[tuple[str, int], Entry] = {}
        self._indexes: dict[tuple[str, str, int], int] = {}
        self._digests: dict[tuple[str, int], str] = {}
        self._blind_until = -1.0

    def applied(self, session: WatchedSession, index: int, entry: Entry, outcome: Outcome) -> None:
        if outcome.void.startswith("unknown session") or not self._judges(session):
            return
        identity = session.log
        known = self._entries.setdefault((identity, index), entry)
        if known != entry or type(known.body) is not type(entry.body):
            raise self.violation(f"index {index} is {known} for one and {entry} for another")
        if not outcome.void:
            first = self._indexes.setdefault((identity, entry.author, entry.number), index)
            if first != index:
                raise self.violation(f"{entry} has an effect at {first} and at {index}")
        if index % EVERY == EVERY - 1:
            self._compare(session, index + 1)

    def loaded(self, session: WatchedSession) -> None:
        if self._judges(session):
            self._compare(session, session.replica.next_index)

    def _judges(self, session: WatchedSession) -> bool:
        if self.fleet.world.now >= self._blind_until:
            return self.fleet.counts(session)
        return session.alive() and self.fleet.knows(session)

    def _compare(self, session: WatchedSession, next_index: int) -> None:
        digest = digest_of(session.replica.table)
        known = self._digests.setdefault((session.log, next_index), digest)
        if known != digest:
            raise self.violation(f"two tables differ before index {next_index}")

    def state_lost(self) -> None:
        """What was forgotten is in some tables until their sessions notice, at the latest at
        their deadline."""
        self._entries.clear()
        self._indexes.clear()
        self._digests.clear()
        self._blind_until = self.fleet.world.now + self.fleet.setup.ttl * 1.1 + 1.0
