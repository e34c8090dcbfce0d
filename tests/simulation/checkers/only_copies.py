"""What was written elsewhere and moved in to be published is somewhere, until it was public."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from volumelease.authorities.volume.drafts import unique_of
from volumelease.core import records
from volumelease.core.records import Entry
from volumelease.core.table import Outcome

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import WatchedSession


class OnlyCopies(Checker):
    name = "only copies"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._decided: set[str] = set()

    def applied(self, session: WatchedSession, index: int, entry: Entry, outcome: Outcome) -> None:
        if isinstance(entry.body, records.Publish) and not outcome.void:
            self._decided.add(self.fleet.moved.name_of(unique_of(entry.body.source)))

    def finished(self) -> None:
        if self.fleet.deletions or self.fleet.state_lost_at >= 0:
            return
        found = self._contents()
        for name, files in self.fleet.moved.whole.items():
            if name not in self._decided and found[name] < files:
                raise self.violation(f"{name} was moved in, was never published, and is lost")

    def _contents(self) -> Counter[str]:
        todo, found = [self.fleet.server.root], Counter[str]()
        while todo:
            node = todo.pop()
            todo.extend(node.entries.values())
            if node.kind == "file":
                found[node.content.decode().partition(" ")[0]] += 1
        return found
