"""Exclusion: of two conflicting leases, only one is believed in at any instant.

A lease is in effect from when the flow returned it until its worker lets go or must know, by its
own clock, that it is lost. A process that stands still does nothing, so only instants at which it
runs count: when it goes on running it must know. Two beliefs can begin to overlap only when a
lease is granted or a process runs again, so that is when it is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumelease.core.conflicts import overlaps

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import Held, WatchedSession
    from tests.simulation.process import Process


def conflict(one: Held, other: Held) -> bool:
    if not (one.exclusive or other.exclusive):
        return False
    return any(overlaps(a.key, b.key) for a in one.claims for b in other.claims)


class Exclusion(Checker):
    name = "exclusion"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._held: list[Held] = []

    def granted(self, held: Held) -> None:
        self._judge(held)
        self._held.append(held)

    def ended(self, held: Held) -> None:
        if held in self._held:
            self._held.remove(held)

    def resumed(self, process: Process) -> None:
        for held in self._held:
            if held.worker.process is process:
                self._judge(held)

    def beaten(self, session: WatchedSession) -> None:
        for held in self._held:
            if held.session is session:
                self._judge(held)

    def _judge(self, held: Held) -> None:
        for other in self._held:
            if other is held or not conflict(held, other):
                continue
            if other.believed() and held.believed():
                self._report(held, other)

    def _report(self, held: Held, other: Held) -> None:
        """For as long as one of them can't have noticed, two can believe, and no longer."""
        world = self.fleet.world
        notices = max(self.fleet.notices_by(held.worker), self.fleet.notices_by(other.worker))
        knowing = self.fleet.knows(held.session) and self.fleet.knows(other.session)
        if world.now > notices or knowing:
            raise self.violation(f"{held} and {other} are both believed in")
        world.at(notices + 0.01, lambda: self._judge(held))
