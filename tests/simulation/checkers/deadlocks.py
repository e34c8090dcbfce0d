"""No deadlock is claimed where there is none: an owner that has nothing can't be waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumelease.errors import LeaseDeadlock

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import Wish


class Deadlocks(Checker):
    """Judges owners that were never interrupted: what a caller gave up on is given back only at
    the next beat, and until then its owner does have something."""

    name = "deadlock"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._unsure: set[tuple[str, str]] = set()

    def answered(self, wish: Wish) -> None:
        owner = (wish.session.name, wish.question.owner)
        if isinstance(wish.result, LeaseDeadlock):
            holds = any(
                held.session is wish.session and held.owner == wish.question.owner
                for held in wish.worker.held
            )
            if not holds and owner not in self._unsure and wish.session.alive():
                raise self.violation(f"{owner} has nothing and is told: {wish.result}")
        elif isinstance(wish.result, BaseException):
            self._unsure.add(owner)

    def unsure(self, session: str, owner: str) -> None:
        """A release of this owner failed, or its outcome is not known."""
        self._unsure.add((session, owner))
