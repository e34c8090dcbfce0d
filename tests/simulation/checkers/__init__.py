"""What must hold, whatever happens; one checker in each file.

A checker hears of everything a run does and raises ``Violation``. It judges by true time, which
no worker can see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumelease.core.records import Entry
from volumelease.core.table import Outcome
from volumelease.model import Draft

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import Held, WatchedSession, Wish
    from tests.simulation.on_redis.held import WatchedRedisSession
    from tests.simulation.on_redis.tables import Table
    from tests.simulation.on_redis.wire import Call
    from tests.simulation.process import Process
    from tests.simulation.worker import Worker


class Violation(AssertionError):
    """A promise was broken."""

    def __init__(self, checker: str, what: str) -> None:
        super().__init__(f"{checker}: {what}")
        self.checker = checker
        self.what = what


class Checker:
    """Hears everything and judges nothing; each checker overrides what it judges."""

    name = ""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet

    def violation(self, what: str) -> Violation:
        return Violation(self.name, what)

    def applied(self, session: WatchedSession, index: int, entry: Entry, outcome: Outcome) -> None:
        """A replica applied an entry; ``next_index`` still is ``index``."""

    def served(self, call: Call, reply: list[Any]) -> None:
        """A Redis that is the authority executed a call."""

    def table_changed(self, call: Call, before: Table, after: Table) -> None:
        """That call changed the table of its volume."""

    def publishing(self, session: WatchedRedisSession, draft: Draft) -> None:
        """A worker asks a session on a Redis to publish that draft."""

    def replacing(self, session: WatchedRedisSession, draft: Draft) -> None:
        """That session asks for the rename that makes the draft public."""

    def over(self, session: WatchedSession) -> None:
        """A worker noticed that its session is lost."""

    def loaded(self, session: WatchedSession) -> None:
        """A replica started from a snapshot."""

    def beaten(self, session: WatchedSession) -> None:
        """A beat of that session counts."""

    def granted(self, held: Held) -> None:
        """A flow returned a lease to its worker."""

    def changed(self, held: Held) -> None:
        """A lease was downgraded."""

    def ended(self, held: Held) -> None:
        """A worker let go of a lease, or found it lost."""

    def published(self, held: Held, place: str, unique: str) -> None:
        """A worker was told that its draft is visible at that place."""

    def read(self, worker: Worker, place: str, whole: bool) -> None:
        """A worker read what is public at that place, file after file."""

    def released(self, held: Held) -> None:
        """A worker was told that its lease is released."""

    def asked(self, wish: Wish) -> None:
        """A worker asks for a lease."""

    def answered(self, wish: Wish) -> None:
        """The flow of that worker returned or raised."""

    def resumed(self, process: Process) -> None:
        """A stopped process runs again."""

    def looked(self, worker: Worker) -> None:
        """A worker looked at its leases, as it does every now and then."""

    def state_lost(self) -> None:
        """A master forgot what it had promised to keep."""

    def unsure(self, session: str, owner: str) -> None:
        """A release or downgrade of this owner ended with an error."""

    def killed(self, worker: Worker) -> None:
        """A worker's process was killed."""

    def crashed(self, worker: Worker, thread: str, error: BaseException) -> None:
        """A thread of a worker ended with an error."""

    def progressed(self) -> None:
        """Everybody had a lease after the faults ended, or the time for it is over."""

    def settled(self) -> None:
        """All faults are over; from now on there are none."""

    def finished(self) -> None:
        """The run is over and everybody let go."""
