"""The life of each lease, put together from the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

from volumelease.core import records
from volumelease.core.conflicts import overlaps
from volumelease.core.records import Entry, SessionFacts
from volumelease.core.table import Holding, Outcome, Table

from .speech import who


@dataclass(slots=True)
class Published:
    """One publish under a lease. ``state``: decided, applied, failed, refused."""

    index: int
    path: str
    at: float
    state: str
    detail: str = ""


@dataclass(slots=True)
class Story:
    """One request, from when it was asked for. Times in seconds since the epoch, by the clock of
    whoever committed that entry."""

    token: int
    paths: tuple[str, ...]
    mode: str
    session: str
    facts: SessionFacts | None
    pid: int
    reason: str
    asked: float
    granted: float | None = None
    ended: float | None = None
    state: str = "waiting"
    """waiting, held, released, cancelled, expired, closed, broken, or unknown."""
    evidence: str = ""
    broken_by: str = ""
    break_reason: str = ""
    publishes: list[Published] = field(default_factory=list)

    @property
    def waited(self) -> float | None:
        return None if self.granted is None else _between(self.asked, self.granted)

    @property
    def held(self) -> float | None:
        if self.granted is None or self.ended is None:
            return None
        return _between(self.granted, self.ended)

    @property
    def since(self) -> float:
        return self.asked if self.granted is None else self.granted

    @property
    def verb(self) -> str:
        if self.granted is None:
            return "waits" if self.ended is None else "waited"
        return "holds" if self.ended is None else "held"


def _between(start: float, end: float) -> float:
    """Never negative: the two were read on different clocks."""
    return round(max(0.0, end - start), 3)


class Stories:
    """Hears a replay and keeps the leases that concern the subtree ``key``, oldest first."""

    def __init__(self, key: str) -> None:
        self.all: dict[int, Story] = {}
        self.oldest_wall: float | None = None
        self._key = key
        self._publishes: dict[int, Published] = {}

    def begins(self, index: int, table: Table) -> None:
        del index
        for token, story in self.all.items():
            if story.ended is None and story.state != "unknown" and token not in table.holdings:
                story.state = "unknown"
        for holding in table.holdings.values():
            if holding.token not in self.all:
                self._begin(holding, table)

    def _begin(self, holding: Holding, table: Table) -> None:
        if not any(overlaps(key, self._key) for key in holding.keys):
            return
        session = table.sessions.get(holding.session)
        facts = session.facts if session else None
        process = holding.client or (facts.process if facts else None)
        self.all[holding.token] = Story(
            token=holding.token,
            paths=tuple(claim.path for claim in holding.claims),
            mode="exclusive" if holding.exclusive else "shared",
            session=holding.session,
            facts=facts,
            pid=process.pid if process else 0,
            reason=holding.reason,
            asked=holding.requested_wall,
            granted=holding.granted_wall if holding.granted else None,
            state="held" if holding.granted else "waiting",
        )

    def applied(self, index: int, entry: Entry, outcome: Outcome, table: Table) -> None:
        if self.oldest_wall is None:
            self.oldest_wall = entry.wall
        if index in table.holdings:
            self._begin(table.holdings[index], table)
        for token in outcome.granted:
            if token in self.all:
                self.all[token].granted, self.all[token].state = entry.wall, "held"
        for token in outcome.ended:
            if token in self.all:
                self._end(self.all[token], entry)
        self._note(index, entry, outcome, table)

    def _end(self, story: Story, entry: Entry) -> None:
        story.ended = entry.wall
        match entry.body:
            case records.Release() | records.Cancel():
                story.state = "released" if story.granted is not None else "cancelled"
            case records.Expire(_, proof):
                story.state, story.evidence = "expired", proof
            case records.Close():
                story.state, story.evidence = "closed", "its session ended itself"
            case records.Broken():
                story.state = "broken"
            case records.Moved(authority):
                story.state, story.evidence = "closed", f"the leases moved to {authority}"
            case (
                records.Open()
                | records.Request()
                | records.Downgrade()
                | records.Publish()
                | records.Published()
                | records.Breaking()
                | records.Ready()
                | records.Next()
            ):
                raise AssertionError(f"{entry.body} ends nothing")
            case other:
                assert_never(other)

    def _note(self, index: int, entry: Entry, outcome: Outcome, table: Table) -> None:
        """What happens to a lease while it lasts."""
        match entry.body:
            case records.Breaking(token, reason) if not outcome.void and token in self.all:
                story, author = self.all[token], table.sessions[entry.author].facts
                process = author.process
                story.broken_by = who(author.worker, author.endpoint, process.pid, process.hostname)
                story.break_reason = reason
            case records.Downgrade(token) if not outcome.void and token in self.all:
                self.all[token].mode = "shared"
            case records.Publish(token, _, target) if token in self.all:
                state = "refused" if outcome.void else "decided"
                publish = Published(index, target.path, entry.wall, state, outcome.void)
                self.all[token].publishes.append(publish)
                self._publishes[index] = publish
            case records.Published(decided, failure) if not outcome.void:
                known = self._publishes.get(decided)
                if known is not None:
                    known.state = "failed" if failure else "applied"
                    known.detail = failure
            case _:
                pass
