"""What the checkers judge: wishes, leases, and sessions that tell what they learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from volumelease.authorities.volume.session import Session
from volumelease.core.records import Entry, Publish
from volumelease.core.table import Outcome
from volumelease.effects import Steps
from volumelease.model import Acquire, Claim

if TYPE_CHECKING:
    from .fleet import Fleet
    from .worker import Worker


@dataclass(slots=True)
class Page:
    """Where a daemon shows until when its session may be assumed; it outlives the daemon."""

    deadline: float = 0.0


@dataclass(slots=True)
class Held:
    """A lease that a flow returned to its worker."""

    worker: Worker
    session: WatchedSession
    token: int
    claims: tuple[Claim, ...]
    exclusive: bool
    owner: str
    since: float
    ended: bool = False

    def believed(self) -> bool:
        """Whether the worker runs and may assume the lease right now, by its own clock. The user
        of a daemon's lease runs on when the daemon does not, and looks at its page."""
        process = self.worker.process
        if self.ended or process.host.clock.asleep:
            return False
        if process.running:
            return not self.session.loss_of(self.token)
        setup = self.worker.fleet.setup
        outlives = setup.daemons and not (setup.containers and process.killed)
        return outlives and process.host.clock.boottime() < self.worker.page.deadline

    def __str__(self) -> str:
        mode = "exclusive" if self.exclusive else "shared"
        paths = [claim.path for claim in self.claims]
        return f"token {self.token} {mode} on {paths} of {self.worker.process.name}"


@dataclass(slots=True)
class Wish:
    """One acquire under way."""

    worker: Worker
    question: Acquire
    timeout: float | None
    asked_at: float
    session: WatchedSession
    token: int | None = None
    result: object = None


class WatchedSession(Session):
    """The product's session; the checkers hear what its replica learns."""

    fleet: Fleet
    worker: Worker
    log = ""
    """Names the log it reads. A founder that was at it when the control directory was deleted can
    make a log anew under the same identity."""

    _deletions = 0

    @property
    def log_deleted(self) -> bool:
        """Whether somebody deleted the log that it reads: its next beat finds out."""
        return self._deletions != self.fleet.deletions

    knew_at = -1e9
    """Since when nothing is known to this session but what it found in place, or read, after it."""

    def open(self) -> Steps[None]:
        began_at = self.fleet.world.now
        yield from super().open()
        self.knew_at = began_at
        self.worker.page.deadline = self.pulse.deadline

    def beat(self) -> Steps[bool]:
        sent_at = self.fleet.world.now
        counted = yield from super().beat()
        if counted:
            self.knew_at = sent_at
            self.worker.page.deadline = self.pulse.deadline
            self.fleet.tell("beaten", self)
        return counted

    def entry_applied(self, index: int, entry: Entry, outcome: Outcome) -> None:
        super().entry_applied(index, entry, outcome)
        if isinstance(entry.body, Publish) and entry.author == self.name:
            self.fleet.decided(self.worker)
        for checker in self.fleet.checkers:
            checker.applied(self, index, entry, outcome)

    def table_loaded(self) -> None:
        super().table_loaded()
        self._deletions = self.fleet.deletions
        self.log = f"{self.identity.id}/{self._deletions}"
        for checker in self.fleet.checkers:
            checker.loaded(self)
