"""A naive model of the table: plain lists, quadratic, obviously right.

It shares no code with ``volumelease.core.table`` but the records themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, assert_never

from volumelease.core import records
from volumelease.core.records import Entry

REMEMBERED = 16

Owner = tuple[str, str]
Edges = dict[Owner, set[Owner]]


class Did(NamedTuple):
    """What one entry did."""

    void: bool = False
    granted: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()
    deadlock: bool = False


VOID = Did(void=True)


@dataclass
class Place:
    """One request and its place in the queue."""

    token: int
    session: str
    owner: str
    keys: tuple[str, ...]
    exclusive: bool
    granted: bool = False
    breaking: bool = False

    def seen(self) -> tuple[object, ...]:
        """All of it, to be compared."""
        return (self.token, self.session, self.owner, self.keys, *self.state())

    def state(self) -> tuple[bool, bool, bool]:
        return (self.exclusive, self.granted, self.breaking)


def components(key: str) -> list[str]:
    return key.split("/") if key else []


@cache
def lies_in(lower: str, upper: str) -> bool:
    above = components(upper)
    return components(lower)[: len(above)] == above


def in_conflict(one: Place, other: Place) -> bool:
    if not (one.exclusive or other.exclusive):
        return False
    return any(lies_in(a, b) or lies_in(b, a) for a in one.keys for b in other.keys)


def in_the_way(place: Place, queue: Iterable[Place]) -> list[Place]:
    """The older requests that conflict with ``place``."""
    return [other for other in queue if other.token < place.token and in_conflict(other, place)]


def waits_for(queue: Sequence[Place]) -> Edges:
    """Which owner waits for which: from everybody who isn't granted to everybody in the way."""
    edges: Edges = {}
    for place in queue:
        if not place.granted:
            for other in in_the_way(place, queue):
                owner = (place.session, place.owner)
                edges.setdefault(owner, set()).add((other.session, other.owner))
    return edges


def has_cycle(edges: Edges) -> bool:
    """By brute force: whether anybody reaches themselves."""
    for start in edges:
        reached: set[Owner] = set()
        front = set(edges[start])
        while front:
            reached |= front
            front = {far for near in front for far in edges.get(near, ())} - reached
        if start in reached:
            return True
    return False


class Reference:
    """The same promise as ``Table``, kept the slow way."""

    def __init__(self, grace: bool) -> None:
        self.grace = grace
        self.sessions: dict[str, list[tuple[int, int]]] = {}
        self.queue: list[Place] = []
        self.pending: list[tuple[int, str, int, str, str]] = []
        self.moved = ""

    def apply(self, index: int, entry: Entry) -> Did:
        recent = self.sessions.get(entry.author)
        if self.moved:
            return VOID
        if recent is None:
            if not isinstance(entry.body, records.Open):
                return VOID
            recent = self.sessions[entry.author] = []
            did = Did()
        elif entry.number in [number for number, _ in recent]:
            return VOID
        else:
            did = self._apply(index, entry)
        if self.moved:
            return did
        recent.append((entry.number, -1 - index if did.void or did.deadlock else index))
        del recent[:-REMEMBERED]
        return did

    def _apply(self, index: int, entry: Entry) -> Did:
        match entry.body:
            case records.Open():
                return VOID
            case records.Next():
                return Did()
            case records.Request(claims, exclusive, owner):
                keys = tuple(claim.key for claim in claims)
                return self._request(Place(index, entry.author, owner, keys, exclusive))
            case records.Cancel(token):
                return self._end([p for p in self._of(entry.author) if p.token == token])
            case records.Release(token):
                return self._end(self._live(entry.author, token))
            case records.Downgrade(token):
                return self._downgrade(self._live(entry.author, token))
            case records.Expire(session):
                return self._end_session(session)
            case records.Close():
                return self._end_session(entry.author)
            case records.Publish(token, source, target):
                live = self._live(entry.author, token)
                if not any(self._covers(place, target.key) for place in live):
                    return VOID
                self.pending.append((index, entry.author, token, source, target.key))
                return Did()
            case records.Published(decided):
                left = [publish for publish in self.pending if publish[0] != decided]
                did = VOID if len(left) == len(self.pending) else Did()
                self.pending = left
                return did
            case records.Breaking(token):
                return self._break([p for p in self.queue if p.token == token and p.granted])
            case records.Broken(token):
                return self._end([p for p in self.queue if p.token == token and p.breaking])
            case records.Ready():
                if not self.grace:
                    return VOID
                self.grace = False
                return Did(granted=self._grant())
            case records.Moved(authority):
                return self._move(entry.author, authority)
            case other:
                assert_never(other)

    def _of(self, session: str) -> list[Place]:
        return [place for place in self.queue if place.session == session]

    def _live(self, session: str, token: int) -> list[Place]:
        return [place for place in self._of(session) if place.token == token and place.granted]

    def _covers(self, place: Place, key: str) -> bool:
        sealed = place.exclusive and not place.breaking
        return sealed and any(lies_in(key, upper) for upper in place.keys)

    def _request(self, place: Place) -> Did:
        if has_cycle(waits_for([*self.queue, place])):
            return Did(deadlock=True)
        self.queue.append(place)
        return Did(granted=self._grant())

    def _end(self, ending: list[Place]) -> Did:
        if not ending:
            return VOID
        self.queue = [place for place in self.queue if place not in ending]
        ended = tuple(place.token for place in ending)
        return Did(granted=self._grant(), ended=ended)

    def _end_session(self, session: str) -> Did:
        if self.sessions.pop(session, None) is None:
            return VOID
        did = self._end(self._of(session))
        return Did() if did.void else did

    def _move(self, session: str, authority: str) -> Did:
        if self.pending or not any(self._covers(place, "") for place in self._granted(session)):
            return VOID
        ended = tuple(place.token for place in self.queue)
        self.queue, self.sessions = [], {}
        self.grace, self.moved = True, authority
        return Did(ended=ended)

    def _granted(self, session: str) -> list[Place]:
        return [place for place in self._of(session) if place.granted]

    def _downgrade(self, live: list[Place]) -> Did:
        exclusive = [place for place in live if place.exclusive]
        for place in exclusive:
            place.exclusive = False
        return Did(granted=self._grant()) if exclusive else VOID

    def _break(self, granted: list[Place]) -> Did:
        untouched = [place for place in granted if not place.breaking]
        for place in untouched:
            place.breaking = True
        return Did() if untouched else VOID

    def _grant(self) -> tuple[int, ...]:
        granted = []
        for place in self.queue:
            if not (self.grace or place.granted or in_the_way(place, self.queue)):
                place.granted = True
                granted.append(place.token)
        return tuple(granted)
