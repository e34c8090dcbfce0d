"""Breaking a lease: its holder loses it first, and then it ends.

``Breaking`` marks the lease in the log: no publish under it is valid from there on, and its
holder, who reads the log with every beat, has lost it at the next one. ``Broken`` ends it, and is
committed by whoever watched the mark for ttl + cache on its own clock.

Why nobody else starts before the holder stopped: a beat that was sent after the mark was committed
reads it before it counts. So the last beat that counts without it was sent before, and the holder
stops at the latest ttl - margin after the mark; the watcher saw it at the earliest when it was
committed, and waits margin + cache longer.

Every session watches, with its beats and while it waits: a breaker that dies half-way leaves no
lease that is being broken for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.liveness import Standstill, Timing
from volumelease.core.records import Entry
from volumelease.core.table import Outcome
from volumelease.effects import Steps, Symlink, Unlink, WriteDurably
from volumelease.tallies import Tally
from volumelease.wire.entries import INLINE_BYTES

from .committer import Committer
from .replica import Replica


def _how(body: records.Body) -> str:
    match body:
        case records.Release() | records.Cancel():
            return "let go by its holder"
        case records.Broken():
            return "broken"
        case _:
            return "its session ended"


class Breaking:
    """One session's part in breaking leases, its own ones and those of others."""

    def __init__(
        self,
        replica: Replica,
        committer: Committer,
        timing: Timing,
        clock: Clock,
        tally: Tally | None = None,
    ) -> None:
        self._tally = tally
        self._replica = replica
        self._committer = committer
        self._timing = timing
        self._clock = clock
        self._watched: dict[int, Standstill] = {}
        self.ends: dict[int, str] = {}
        """How each lease ended that this session broke, in words; "" before."""

    def under_way(self, token: int) -> bool:
        """Whether that lease still stands, marked, as far as was read."""
        return token in self._replica.table.breaking

    def begin(self, token: int, reason: str, audit: str = "", record: bytes = b"") -> Steps[bool]:
        """Mark that lease as being broken. Returns whether it is, no matter by whom.

        ``record`` is written to ``audit/<audit>`` before, and removed again if there was nothing
        to break: the log forgets in time, that file stays. A volume that takes no write any more
        gets it as a symlink, and what does not fit into one is not kept. Errors: those of
        ``Committer.commit``.
        """
        path = self._replica.layout.audit(audit)
        if audit:
            yield from self._write_down(path, record)
        body = records.Breaking(token, reason)
        self.ends.setdefault(token, "")  # first: its holder may let go before this is known
        done = yield from self._committer.commit(
            lambda: body if self._can_begin(token) else None, urgent=True
        )
        marked = done is not None and not done.void
        if audit and not marked:
            with suppress(OSError):
                yield Unlink(path)
        if marked or self.under_way(token):
            return True
        self.ends.pop(token, None)
        return False

    def heard(self, entry: Entry, outcome: Outcome) -> None:
        """What an entry did; called for every one that ended a lease."""
        for token in outcome.ended:
            if token in self.ends:
                self.ends[token] = _how(entry.body)

    def look_on(self) -> Steps[None]:
        """One round of waiting for the end. Errors: those of ``Committer.commit``."""
        yield from self._replica.catch_up()
        yield from self.end_what_was_watched()

    def _write_down(self, path: str, record: bytes) -> Steps[None]:
        try:
            yield WriteDurably(path, record)
        except OSError:
            with suppress(OSError):
                yield Unlink(path)
            if len(record) <= INLINE_BYTES:
                with suppress(OSError):
                    yield Symlink(record.decode(errors="replace"), path)

    def _can_begin(self, token: int) -> bool:
        holding = self._replica.table.holdings.get(token)
        return holding is not None and holding.granted and not holding.breaking

    def end_at_once(self, token: int) -> Steps[None]:
        """End a marked lease whether its holder could notice or not.

        DANGEROUS: until its next beat the holder believes that it holds the lease, and the next
        one may hold it already. Errors: those of ``Committer.commit``.
        """
        yield from self._committer.commit(self._broken(token), urgent=True)

    def end_what_was_watched(self) -> Steps[None]:
        """Look at every lease that is being broken; end those whose mark was watched for
        ttl + cache. Errors: those of ``Committer.commit``."""
        marked = self._replica.table.breaking
        for token in [token for token in self._watched if token not in marked]:
            del self._watched[token]
        for token in sorted(marked):
            holding = self._replica.table.holdings.get(token)
            if holding is None or not holding.breaking:
                continue  # ended while another was
            now = self._clock.read()
            watched = self._watched.setdefault(token, Standstill(self._timing))
            if watched.look(0, now, now):
                done = yield from self._committer.commit(self._broken(token), urgent=True)
                if done is not None and self._tally is not None:
                    scope = self._tally.scope(holding.claims)
                    self._tally.count("forced_releases_total", scope, "broken")

    def _broken(self, token: int) -> Callable[[], records.Broken | None]:
        record = records.Broken(token)
        return lambda: record if token in self._replica.table.breaking else None
