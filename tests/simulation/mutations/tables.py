"""Rules of the table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from volumelease.authorities.volume import founding
from volumelease.core.conflicts import overlaps
from volumelease.core.table import Holding, Outcome, Table

Patches = list[tuple[Any, str, Any]]


def _conflict(one: Holding, other: Holding) -> bool:
    return (one.exclusive or other.exclusive) and any(
        overlaps(a, b) for a in one.keys for b in other.keys
    )


def barging() -> Patches:
    def grant(self: Table, candidates: Iterable[int], wall: float) -> tuple[int, ...]:
        granted = []
        for token in () if self.grace else candidates:
            holding = self.holdings[token]
            others = [h for h in self.holdings.values() if h.granted and h is not holding]
            if not holding.granted and not any(_conflict(holding, other) for other in others):
                holding.granted, holding.granted_wall = True, wall
                granted.append(token)
        return tuple(granted)

    return [(Table, "_grant", grant)]


def half_a_request() -> Patches:
    """The first path is free: good enough."""

    def grant(self: Table, candidates: Iterable[int], wall: float) -> tuple[int, ...]:
        granted = []
        for token in () if self.grace else candidates:
            holding = self.holdings[token]
            if not holding.granted and not self._index.blocked(
                token, holding.keys[:1], holding.exclusive
            ):
                holding.granted, holding.granted_wall = True, wall
                granted.append(token)
        return tuple(granted)

    return [(Table, "_grant", grant)]


def release_of_anybody() -> Patches:
    def let_go(self: Table, author: str, token: int, wall: float, *, also_waiting: bool) -> Outcome:
        holding = self.holdings.get(token)
        if holding is None or not (holding.granted or also_waiting):
            return Outcome(void="no such lease")
        return self._end([holding], wall)

    return [(Table, "_let_go", let_go)]


def no_grant_on_release() -> Patches:
    def end(self: Table, ending: list[Holding], wall: float) -> Outcome:
        for holding in ending:
            self._remove(holding)
        return Outcome(ended=tuple(holding.token for holding in ending))

    return [(Table, "_end", end)]


def grace_skipped() -> Patches:
    found = founding.found

    def at_once(root: str, wanted: founding.Founding) -> Any:
        return found(root, wanted._replace(ready=True))

    return [(founding, "found", at_once)]
