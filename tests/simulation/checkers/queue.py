"""FIFO without barging, all or nothing: judged by a model too simple to be wrong.

A request is granted exactly when no older request, granted or waiting, conflicts with it on any of
its paths. The model looks at every pair of requests after every entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumelease.core import records
from volumelease.core.conflicts import overlaps
from volumelease.core.records import Entry
from volumelease.core.table import Outcome, Table

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import WatchedSession


@dataclass(slots=True)
class _Request:
    session: str
    keys: tuple[str, ...]
    exclusive: bool
    breaking: bool = False


class _Model:
    """Who asked for what, oldest first."""

    def __init__(self, table: Table) -> None:
        self.sessions = set(table.sessions)
        self.grace = table.grace
        self.requests = {
            token: _Request(held.session, held.keys, held.exclusive, held.breaking)
            for token, held in sorted(table.holdings.items())
        }

    def apply(self, index: int, entry: Entry, outcome: Outcome) -> None:
        if entry.author not in self.sessions and not isinstance(entry.body, records.Open):
            return
        match entry.body:
            case records.Open():
                self.sessions.add(entry.author)
            case records.Request(claims, exclusive):
                if not outcome.cycle:
                    keys = tuple(claim.key for claim in claims)
                    self.requests[index] = _Request(entry.author, keys, exclusive)
            case records.Cancel(token):
                self._end(entry.author, token)
            case records.Release(token):
                if token in self.granted():
                    self._end(entry.author, token)
            case records.Downgrade(token):
                request = self.requests.get(token)
                if request and request.session == entry.author and token in self.granted():
                    request.exclusive = False
            case records.Expire(victim):
                self._leave(victim)
            case records.Close():
                self._leave(entry.author)
            case records.Breaking(token):
                if token in self.granted():
                    self.requests[token].breaking = True
            case records.Broken(token):
                if token in self.requests and self.requests[token].breaking:
                    del self.requests[token]
            case records.Ready():
                self.grace = False
            case _:
                pass

    def _end(self, author: str, token: int) -> None:
        request = self.requests.get(token)
        if request is not None and request.session == author:
            del self.requests[token]

    def _leave(self, session: str) -> None:
        self.sessions.discard(session)
        for token in [t for t, request in self.requests.items() if request.session == session]:
            del self.requests[token]

    def granted(self) -> set[int]:
        if self.grace:
            return set()
        return {token for token in self.requests if not self._blocked(token)}

    def _blocked(self, token: int) -> bool:
        mine = self.requests[token]
        for older, other in self.requests.items():
            if older >= token:
                return False
            if (mine.exclusive or other.exclusive) and any(
                overlaps(a, b) for a in mine.keys for b in other.keys
            ):
                return True
        return False


class Queue(Checker):
    """Compares the product's table with the model whenever somebody is first to apply an entry."""

    name = "queue"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._models: dict[str, tuple[int, _Model]] = {}
        self._known: dict[str, int] = {}
        self._blind_until = -1.0

    def applied(self, session: WatchedSession, index: int, entry: Entry, outcome: Outcome) -> None:
        before, self._known[session.name] = self._known.get(session.name, -1), index
        if self.fleet.world.now < self._blind_until or not self.fleet.counts(session):
            return
        identity, table = session.log, session.replica.table
        newest, model = self._models.get(identity, (-1, None))
        if model is None or before > newest:  # it began with somebody who had to catch up
            self._models[identity] = (index, _Model(table))
            return
        if index <= newest:
            return
        if not outcome.void.startswith("the same record"):
            model.apply(index, entry, outcome)
        self._models[identity] = (index, model)
        granted = {token for token, held in table.holdings.items() if held.granted}
        if set(table.holdings) != set(model.requests):
            raise self.violation(
                f"after {index} {entry.body}: requests {sorted(table.holdings)}, "
                f"the model has {sorted(model.requests)}"
            )
        if granted != model.granted():
            raise self.violation(
                f"after {index} {entry.body}: granted {sorted(granted)}, "
                f"the model grants {sorted(model.granted())}"
            )

    def loaded(self, session: WatchedSession) -> None:
        self._known[session.name] = session.replica.next_index - 1

    def state_lost(self) -> None:
        self._models.clear()
        self._blind_until = self.fleet.world.now + self.fleet.setup.ttl * 1.1 + 1.0
