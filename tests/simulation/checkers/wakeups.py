"""No lost wake-up: a waiter notices its grant soon after anybody knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from volumelease.core.records import Entry
from volumelease.core.table import Outcome

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import WatchedSession, Wish

SLOW_CALLS: Final = frozenset(
    {"error", "lost", "late", "resend", "slow", "stall", "cut", "full", "forget", "delete"}
)
BOUND_SECONDS: Final = 1.0
"""Several polls. Applies where calls are answered at once; a stop of the process is added."""


class WakeUps(Checker):
    name = "wake-up"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._wishes: list[Wish] = []
        self._judges = not SLOW_CALLS & set(fleet.setup.troubles)

    def asked(self, wish: Wish) -> None:
        self._wishes.append(wish)

    def answered(self, wish: Wish) -> None:
        self._wishes.remove(wish)

    def applied(self, session: WatchedSession, index: int, entry: Entry, outcome: Outcome) -> None:
        if not self._judges:
            return
        for token in outcome.granted:
            for wish in self._wishes:
                if wish.token == token and wish.session.identity.id == session.identity.id:
                    self._expect(wish)

    def _expect(self, wish: Wish) -> None:
        world, process = self.fleet.world, wish.worker.process

        def judge() -> None:
            if wish not in self._wishes or process.killed or not wish.session.alive():
                return
            if not process.running or process.undisturbed_since + BOUND_SECONDS > world.now:
                world.after(BOUND_SECONDS, judge)
                return
            raise self.violation(f"{process.name} sleeps over its grant of token {wish.token}")

        world.after(BOUND_SECONDS, judge)
