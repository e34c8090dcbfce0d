"""Where the history of leases is read: in the log of the volume, or from the Redis that grants."""

from __future__ import annotations

from typing import Final, Protocol

from volumelease.authorities.redis.past import Lent, Looking, Past
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.replica import Replica
from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.records import Entry
from volumelease.core.table import Holding, Outcome
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor

from .spans import KEPT_SECONDS, Spans


class History(Protocol):
    """Reads on. All calls come from one thread."""

    @property
    def spans(self) -> Spans: ...

    @property
    def read_seconds(self) -> float:
        """How often it is read when there is nothing to judge."""
        ...

    def read(self) -> None:
        """Read to the end. Errors: ``LeaseError``, ``OSError``: then nothing is known yet of what
        came since the last reading."""


class LogHistory:
    """The log of the volume, with a replica of its own."""

    read_seconds: Final = 1.0

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self.spans = Spans(clock)
        self._clock = clock
        self._replica = Replica(layout, clock, self)
        self._monitor = Monitor(Files())

    def read(self) -> None:
        began = self._clock.monotonic()
        self._monitor.run(self._replica.catch_up())
        self.spans.read_to_the_end(began)

    # ---- what the replica says

    def entry_applied(self, index: int, entry: Entry, outcome: Outcome) -> None:
        for token in outcome.ended:
            self.spans.end(token)
        for token in outcome.granted:
            holding = self._replica.table.holdings.get(token)
            if holding is not None and holding.exclusive:
                self._begin(token, holding)
        match entry.body:
            case records.Downgrade(token):
                self.spans.end(token)
            case records.Publish(_, _, target) if not outcome.void:
                self.spans.begin(-1 - index, (target.key,), "")
            case records.Published(publish):
                self.spans.end(-1 - publish)

    def table_loaded(self) -> None:
        """Entries were skipped."""
        self.spans.know_nothing()
        for token in self.spans.running:
            self.spans.end(token)
        for token, holding in self._replica.table.holdings.items():
            if holding.granted and holding.exclusive:
                self._begin(token, holding)

    def _begin(self, token: int, holding: Holding) -> None:
        session = self._replica.table.sessions.get(holding.session)
        boot_id = session.facts.process.boot_id if session is not None else ""
        self.spans.begin(token, holding.keys, boot_id)


class TableHistory:
    """The table of the Redis that grants, and the ends that it keeps while it is asked.

    ``monitor`` performs the calls. Limit: what it forgot, and whatever happens in a grace, counts
    as covered.
    """

    read_seconds: Final = 2.0
    """Each reading costs the Redis a look at every lease, and every daemon reads."""

    def __init__(self, identity_id: str, monitor: Monitor, clock: Clock) -> None:
        self.spans = Spans(clock)
        self._clock = clock
        self._monitor = monitor
        self._looking = Looking(identity_id)
        self._over: dict[int, float] = {}
        """Tokens that were told to be over: an end can be told twice."""

    def read(self) -> None:
        began = self._clock.monotonic()
        past: Past = self._monitor.run(self._looking.look())
        if past.doubt or not past.whole:
            self.spans.know_nothing()
        for lent in past.ended:
            if lent.token not in self._over:
                self._ended(lent, began)
        held = {lent.token: lent for lent in past.held}
        for token in self.spans.running:
            if token not in held:
                self.spans.end(token)
        for token, lent in held.items():
            if not self.spans.begun(token):
                self.spans.begin(token, lent.keys, lent.boot_id)
        self._over = {t: at for t, at in self._over.items() if at > began - KEPT_SECONDS}
        self.spans.read_to_the_end(began)

    def _ended(self, lent: Lent, now: float) -> None:
        self._over[lent.token] = now
        if not self.spans.begun(lent.token):  # it came and went between two readings
            self.spans.begin(lent.token, lent.keys, lent.boot_id)
        self.spans.end(lent.token)
