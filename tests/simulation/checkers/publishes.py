"""What readers see is what the log decided: whole, in its order, and never a decision late.

Judged by the volume itself: at a public name lies nothing, or the one draft of a decided publish,
complete. Once a successor may start, what was decided before is visible, and nothing older comes
back on top of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.adopter import old_name
from tests.simulation.mover import FILES, content_of
from tests.simulation.publisher import PLACES
from volumelease.authorities.volume.drafts import ADOPTED, INSIDE, MOVING
from volumelease.authorities.volume.layout import CONTROL
from volumelease.core import records
from volumelease.core.conflicts import covers
from volumelease.core.records import Entry
from volumelease.core.table import Outcome

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import Held, WatchedSession
    from tests.simulation.volume import Node
    from tests.simulation.worker import Worker

TORN = "torn"


class Publishes(Checker):
    name = "publishes"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._decided: dict[str, dict[str, int]] = {place: {} for place in PLACES}
        self._known: set[tuple[str, int]] = set()
        self._tokens: dict[tuple[str, int], list[tuple[str, int]]] = {}
        self._newest: dict[str, int] = {}
        self._blind = False
        self._old = set(fleet.setup.old)

    # ---- what is decided

    def applied(self, session: WatchedSession, index: int, entry: Entry, outcome: Outcome) -> None:
        body = entry.body
        if not isinstance(body, records.Publish) or outcome.void:
            return
        identity = session.identity.id
        if (identity, index) in self._known:
            return
        self._known.add((identity, index))
        place = body.target.path
        self._decided[place][self._content_name(identity, body, place)] = index
        lease = self._tokens.setdefault((identity, body.token), [])
        lease.append((place, index))
        self._judge_author(identity, place, body.token)

    def _content_name(self, identity: str, body: records.Publish, place: str) -> str:
        """What the content of a publish is called: its draft, unless it was adopted. Before it was
        applied for the first time, its source is where it says."""
        unique = body.source.split("/")[1].removesuffix(".link")
        link = self._walk(f"{CONTROL}/{identity}/{body.source}")
        if link is None or link.kind != "link" or link.target.endswith(f"/{unique}"):
            return self.fleet.moved.name_of(unique)
        return old_name(place)

    def _judge_author(self, identity: str, place: str, token: int) -> None:
        """Nobody publishes under a lease whose successor has started."""
        for worker in self.fleet.alive():
            for held in worker.held:
                other = held.session.identity.id == identity and held.token != token
                covered = any(covers(claim.key, place) for claim in held.claims)
                if not (other and covered and held.believed()) or self._blind:
                    continue
                if self.fleet.world.now > self.fleet.notices_by(worker):
                    raise self.violation(f"{place} is published with token {token} while {held}")

    def state_lost(self) -> None:
        """What was decided may be undecided again."""
        self._blind = True

    # ---- what is visible

    def looked(self, worker: Worker) -> None:
        for place in PLACES:
            self._see(place)

    def published(self, held: Held, place: str, unique: str) -> None:
        """A worker was told that this draft is visible."""
        seen = self._see(place)
        if self._blind:
            return
        if seen < self._decided[place][unique]:
            raise self.violation(f"{place} was published as {unique} and is not visible")

    def granted(self, held: Held) -> None:
        """Whoever is granted a lease finds all that was decided before under its paths."""
        self._complete(held, "when it was granted")

    def released(self, held: Held) -> None:
        """Whoever let go has made visible what it published."""
        if self._blind:
            return
        for place, index in self._tokens.get((held.session.identity.id, held.token), []):
            if self._see(place) < index:
                raise self.violation(f"{held} was released, and {place} is not visible")

    def read(self, worker: Worker, place: str, whole: bool) -> None:
        """A reader opened what it found at that public name a moment before."""
        if not (whole or self._blind or self.fleet.deletions):
            raise self.violation(f"{worker.process.name} found {place} and could not read it whole")

    def finished(self) -> None:
        for place in PLACES:
            self._see(place)

    def _complete(self, held: Held, when: str) -> None:
        for place in PLACES:
            if not any(covers(claim.key, place) for claim in held.claims):
                continue
            seen = self._see(place)
            last = max(self._decided[place].values(), default=-1)
            if not self._blind and held.believed() and seen < last:
                raise self.violation(f"{held}: {place} shows {seen}, {last} was decided {when}")

    def _see(self, place: str) -> int:
        """The index of the publish that is visible there, -1 for none."""
        if self._blind or self.fleet.deletions:
            return 1 << 62
        unique = self._unique_at(place)
        if unique == TORN:
            raise self.violation(f"{place} is half-written")
        self._old_is_kept(place, unique)
        if unique == old_name(place) and not self._decided[place]:
            return -1
        if not unique:
            if place in self._newest:
                raise self.violation(f"{place} is gone")
            return -1
        if unique not in self._decided[place]:
            raise self.violation(f"{place} shows {unique}, which nobody decided")
        index = self._decided[place][unique]
        if index < self._newest.get(place, -1):
            raise self.violation(f"{place} goes back from {self._newest[place]} to {index}")
        self._newest[place] = index
        return index

    def _old_is_kept(self, place: str, seen: str) -> None:
        """The directory that was there before is whole where it was, or kept where the next
        adoption finds it, until it is public as a version; from then on it is one as any other."""
        if place not in self._old:
            return
        old = old_name(place)
        if self._decided[place].get(seen, -1) >= self._decided[place].get(old, 1 << 62):
            self._old.discard(place)
            return
        node = self._walk(place)
        if node is not None and node.kind == "directory":
            return  # and whole, or it would be torn
        if not any(self._whole_directory(node) == old for node in self._adopted(place)):
            raise self.violation(f"what was in {place} is lost")

    def _adopted(self, place: str) -> list[Node]:
        """The versions that are marked as being adopted from there, or whose link is decided."""
        decided = old_name(place) in self._decided[place]
        control = self._walk(CONTROL)
        found: list[Node] = []
        for home in control.entries.values() if control is not None else ():
            versions = home.entries["versions"].entries if "versions" in home.entries else {}
            for name, node in versions.items():
                mark = versions.get(name.removesuffix(MOVING) + ADOPTED)
                if decided or (mark is not None and mark.target == place):
                    found.append(node.entries.get(INSIDE, node))
        return found

    def _unique_at(self, place: str) -> str:
        node = self._walk(place)
        if node is None:
            return ""
        if node.kind == "file":
            return self._whole([node])
        if node.kind == "link":
            node = self._walk(node.target.replace("../", ""))
        elif place not in self._old:
            return TORN
        return TORN if node is None else self._whole_directory(node)

    def _whole_directory(self, node: Node) -> str:
        if set(node.entries) != set(FILES):
            return TORN
        return self._whole(list(node.entries.values()))

    def _whole(self, nodes: list[Node]) -> str:
        uniques = {node.content.decode().partition(" ")[0] for node in nodes}
        unique = uniques.pop()
        if uniques or any(node.content != content_of(unique) for node in nodes):
            return TORN
        return unique

    def _walk(self, path: str) -> Node | None:
        node = self.fleet.server.root
        for name in path.split("/"):
            found = node.entries.get(name)
            if found is None:
                return None
            node = found
        return node
