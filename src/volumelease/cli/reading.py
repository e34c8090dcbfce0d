"""Reading a volume's log without being part of its fleet: no session, no beat, no commit."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from volumelease.authorities.answers import describe
from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.listening import Nobody
from volumelease.authorities.volume.replay import Replay, Witness
from volumelease.authorities.volume.replica import Replica
from volumelease.authorities.volume.survival import still_the_same_log
from volumelease.clock import SystemClock
from volumelease.core.table import Table
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Errand, Monitor, Patience
from volumelease.effects import Effect, Steps
from volumelease.errors import AuthorityUnreachable, LeaseError, VolumeNotFound
from volumelease.model import Holder
from volumelease.wire.identity import Identity

from .speech import Problem

T = TypeVar("T")

ANSWER_SECONDS: Final = 10.0
"""How long a command of a person waits for a volume before it says that it does not answer."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The log as it was at one moment, or what a Redis kept: then ``next_index`` is the number of
    its memory, and ``counters`` are the heartbeats that it was told of, by session."""

    identity: Identity
    table: Table
    next_index: int
    segment: int
    garbage: int
    counters: Mapping[str, int] | None = None

    def holders(self) -> list[Holder]:
        """Who holds something, oldest first."""
        return [describe(self.table, h) for h in self.table.holdings.values() if h.granted]

    def waiters(self) -> list[tuple[Holder, int]]:
        """Who waits, and at which place of the queue in front of what it wants."""
        found = []
        for holding in self.table.holdings.values():
            if not holding.granted:
                ahead = sum(not other.granted for other in self.table.blockers(holding))
                found.append((describe(self.table, holding), ahead + 1))
        return found


def patiently(work: Callable[[], T], root: str, patience: Patience | None = None) -> T:
    """The result of ``work``, which looks at ``root``. Errors: ``AuthorityUnreachable`` when it
    hangs; then the process can't end either until the mount answers, but the person knows."""
    try:
        return (patience or Patience()).call(lambda _: work(), ANSWER_SECONDS)
    except TimeoutError as error:
        if isinstance(error, LeaseError):
            raise
        raise _silent(root) from None


class _Counting:
    """Performs effects and counts those that came back."""

    def __init__(self) -> None:
        self._files = Files()
        self.answered = 0

    def perform(self, effect: Effect) -> Any:
        try:
            return self._files.perform(effect)
        finally:
            self.answered += 1


def steadily(steps: Steps[T], root: str) -> T:
    """Run a protocol that may take long, as long as the volume answers.

    Errors: ``AuthorityUnreachable`` when no call came back for a while; what ``steps`` raises.
    """
    performer = _Counting()
    errand = Errand(lambda _: Monitor(performer).run(steps), lambda _: None)
    threading.Thread(target=errand.run, daemon=True).start()
    before = -1
    while not errand.done.wait(ANSWER_SECONDS):
        if performer.answered == before:
            raise _silent(root)
        before = performer.answered
    if errand.error is not None:
        raise errand.error
    result: T = errand.value
    return result


def while_it_answers(work: Callable[[], T], root: str) -> T:
    """The result of ``work``, which may wait for others for ever, as long as the volume answers.

    Errors: ``AuthorityUnreachable`` when that does not; what ``work`` raises.
    """
    errand = Errand(lambda _: work(), lambda _: None)
    threading.Thread(target=errand.run, daemon=True).start()
    while not errand.done.wait(ANSWER_SECONDS):
        patiently(lambda: os.statvfs(root), root)  # no kernel answers that by itself
    if errand.error is not None:
        raise errand.error
    result: T = errand.value
    return result


def _silent(root: str) -> AuthorityUnreachable:
    return AuthorityUnreachable(
        f"{root} did not answer in {ANSWER_SECONDS:g} s", root=root, seconds=ANSWER_SECONDS
    )


class Reader:
    """Reads one volume, again and again.

    Limit: like every reader it moves an elected segment in place if it finds one lying about;
    nothing else of it is ever seen by others.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._monitor = Monitor(Files())
        self._patience = Patience()
        self._identity: Identity | None = None
        self._replica: Replica | None = None

    def look(self) -> Picture:
        """The log as it is now. Errors: ``VolumeNotFound`` when this is no volume,
        ``AuthorityUnreachable`` when it does not answer, ``LogDamaged``."""
        if self._identity is None or self._replica is None or self._another_log():
            self._identity = self._read_identity()
            if self._identity.authority == "redis":
                return self._ask_redis(self._identity)
            layout = Layout.of(self.root, self._identity)
            self._replica = Replica(layout, SystemClock(), Nobody())
        replica = self._replica
        self.run(replica.catch_up())
        return Picture(
            self._identity, replica.table, replica.next_index, replica.segment, replica.garbage
        )

    @property
    def identity(self) -> Identity:
        """Of what was looked at last, be it that its log could not be read."""
        if self._identity is None:
            self._identity = self._read_identity()
        return self._identity

    @property
    def replica(self) -> Replica:
        """What ``look`` read. Errors: ``Problem`` where a Redis keeps the leases."""
        if self._replica is None:
            raise self._no_log()
        return self._replica

    def replay(self, witness: Witness) -> tuple[Identity, Replay]:
        """Tell ``witness`` all that is left of the log. Errors: as of ``look``."""
        self._identity = self._read_identity()
        if self._identity.authority != "volume":
            raise self._no_log()
        replay = Replay(Layout.of(self.root, self._identity), SystemClock(), witness)
        steadily(replay.run(), self.root)
        return self._identity, replay

    def run(self, steps: Steps[Any]) -> Any:
        return patiently(lambda: self._monitor.run(steps), self.root, self._patience)

    def _ask_redis(self, identity: Identity) -> Picture:
        from volumelease.leases.choosing import require_url
        from volumelease.leases.redis_hosting import kept_on

        from .places import settings_of_this_process

        settings = settings_of_this_process()
        require_url(self.root, settings)
        kept = patiently(
            lambda: kept_on(identity.id, self.root, settings), self.root, self._patience
        )
        return Picture(identity, kept.table, kept.incarnation, 0, 0, kept.counters)

    def _no_log(self) -> Problem:
        return Problem(
            f"the leases of {self.root} are kept by a Redis, which forgets what is over: there is "
            "no log to read",
            advice=f"See who holds what now: volumelease status {self.root}",
        )

    def _read_identity(self) -> Identity:
        identity: Identity | None = self.run(founding.read_identity(self.root))
        if identity is None:
            raise VolumeNotFound(
                f"{self.root} is no volume yet",
                advice=f"volumelease init {self.root}",
                path=self.root,
            )
        return identity

    def _another_log(self) -> bool:
        assert self._replica is not None
        assert self._identity is not None
        if self._replica.table.moved:
            return True
        return bool(self.run(still_the_same_log(self._replica, self._identity.id)))
