"""Which leases were lost, when the page of a daemon shows an alarm."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from volumelease.errors import LeaseError
from volumelease.model import Answer, Inspect, Lost, Question

from .belongings import Belongings

if TYPE_CHECKING:
    from volumelease.client.deadlines import Belief


class Inquiry:
    """Asks the daemon how what this process holds stands. ``start`` makes a thread; ``told`` is
    called when one that was made here has the answers."""

    def __init__(
        self,
        mine: Belongings,
        ask: Callable[[Question], Answer],
        start: Callable[[Callable[[], None], str], None],
        told: Callable[[], None],
    ) -> None:
        self._mine = mine
        self._ask = ask
        self._start = start
        self._told = told
        self._aside = threading.Lock()
        """Held while a thread that was made here asks."""

    def now(self, belief: Belief) -> None:
        """A lease of the session was lost, perhaps one of ours. Limit: waits for a daemon that
        says nothing, for each lease, until the session is lost."""
        look = belief.look()
        for token in list(self._mine.held):
            try:
                answer = self._ask(Inspect(token))
            except LeaseError as error:
                self._mine.losses.setdefault(
                    token, f"nobody says whether it is still held: {error}"
                )
                continue
            if isinstance(answer, Lost):
                self._mine.losses.setdefault(token, answer.reason)
        belief.answered(look)

    def aside(self, belief: Belief) -> None:
        """The same, by one other thread: for who must be there at the deadline, whatever the
        daemon does. Where none can be made, nothing is asked; ask again."""
        if not self._aside.acquire(blocking=False):
            return

        def look() -> None:
            try:
                self.now(belief)
            finally:
                self._aside.release()
            self._told()

        try:
            self._start(look, "volumelease-alarm")
        except RuntimeError:
            self._aside.release()
