"""Proof of death spares the ttl: who shares a pid namespace with a dead process need not wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.held import WatchedSession
    from tests.simulation.worker import Worker

SLACK_SECONDS = 0.6


class Takeover(Checker):
    """Judges runs in which nothing but kills happens; each session looks at others once a beat."""

    name = "takeover"

    def killed(self, worker: Worker) -> None:
        dead = worker.session
        daemons = self.fleet.setup.daemons  # whose death alone proves nothing
        if set(self.fleet.setup.troubles) != {"kill"} or dead is None or daemons:
            return
        if not worker.process.provably_gone:
            return  # what is in flight has to land first
        world, session = self.fleet.world, dead
        since = world.now
        wait = 1.2 * session.timing.beat_interval + SLACK_SECONDS
        witnesses = [other for other in self.fleet.alive() if self._could_tell(other, worker)]

        def judge() -> None:
            for other in witnesses:
                known = other.session
                if known is not None and known.alive() and not other.process.killed:
                    self._judge(session, known, since)

        world.after(wait, judge)

    def _could_tell(self, other: Worker, dead: Worker) -> bool:
        session = other.session
        return (
            session is not None
            and session.alive()
            and other.process.host is dead.process.host
            and other.process.facts.pid_namespace == dead.process.facts.pid_namespace
        )

    def _judge(self, dead: WatchedSession, witness: WatchedSession, since: float) -> None:
        if dead.identity.id != witness.identity.id:
            return
        if dead.name in witness.replica.table.sessions:
            raise self.violation(
                f"{dead.name} was dead at {since:.2f}, and {witness.name} shares its namespace"
            )
