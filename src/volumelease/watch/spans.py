"""When was a path under a lease? The history of leases, as far as it is needed to judge a write.

Read from the log by a replica of its own: a lease begins at the earliest when the log was last read
to its end before the grant was found there, and ends at the latest when its end was found.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.conflicts import covers, overlaps
from volumelease.core.records import Entry
from volumelease.core.table import Holding, Outcome

KEPT_SECONDS: Final = 600.0


class Span(NamedTuple):
    """``keys`` were leased exclusively from ``began`` to ``ended`` (monotonic), by a process of
    the boot ``boot_id``."""

    keys: tuple[str, ...]
    began: float
    ended: float
    boot_id: str


class Spans:
    """A listener of a replica. Its calls come from one thread at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.table: Any = None
        """The replica's; set by who makes both."""
        self._read_at = clock.monotonic()
        self._began = False
        self._open: dict[int, Span] = {}
        self._over: list[Span] = []
        self._blind: list[tuple[float, float]] = []
        """Times of which nothing is known: entries were skipped."""

    def entry_applied(self, index: int, entry: Entry, outcome: Outcome) -> None:
        now = self._clock.monotonic()
        for token in outcome.ended:
            self._end(token, now)
        for token in outcome.granted:
            holding = self.table().holdings.get(token)
            if holding is not None and holding.exclusive:
                self._open[token] = self._span(holding, self._read_at)
        match entry.body:
            case records.Downgrade(token):
                self._end(token, now)
            case records.Publish(_, _, target) if not outcome.void:
                self._open[-1 - index] = Span((target.key,), self._read_at, float("inf"), "")
            case records.Published(publish):
                self._end(-1 - publish, now)

    def table_loaded(self) -> None:
        now = self._clock.monotonic()
        if self._began:  # before, nothing was looked at either
            self._blind.append((self._read_at, now))
        for token in list(self._open):
            self._end(token, now)
        for token, holding in self.table().holdings.items():
            if holding.granted and holding.exclusive:
                self._open[token] = self._span(holding, self._read_at)

    def read_to_the_end(self, began_at: float) -> None:
        """The log was read completely by a reading that began then."""
        self._read_at, self._began = began_at, True
        oldest = began_at - KEPT_SECONDS
        self._over = [span for span in self._over if span.ended > oldest]
        self._blind = [gap for gap in self._blind if gap[1] > oldest]

    def covered(
        self, key: str, since: float, until: float, boot_id: str = "", *, above: bool = False
    ) -> bool:
        """Whether a lease may have covered ``key`` at some moment between the two; with a
        ``boot_id``, a lease of that machine. ``above``: a lease further down does too, as of a
        directory that was made for its sake. What nobody knows counts as covered."""
        reaches = overlaps if above else covers
        if any(first <= until and since <= last for first, last in self._blind):
            return True
        return any(
            span.began <= until
            and since <= span.ended
            and (not boot_id or not span.boot_id or span.boot_id == boot_id)
            and any(reaches(mine, key) for mine in span.keys)
            for spans in (self._open.values(), self._over)
            for span in spans
        )

    def _span(self, holding: Holding, began: float) -> Span:
        session = self.table().sessions.get(holding.session)
        boot_id = session.facts.process.boot_id if session is not None else ""
        return Span(holding.keys, began, float("inf"), boot_id)

    def _end(self, token: int, now: float) -> None:
        span = self._open.pop(token, None)
        if span is not None:
            self._over.append(span._replace(ended=now))
