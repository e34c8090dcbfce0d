"""What readers see is whole, and was checked: right before its one rename the server said that the
lease is live, and its holder had not lost it.

The rename is not sealed: where calls and processes can stand still in between, it can be late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.simulation.checkers.publishes import Publishes
from tests.simulation.on_redis.fleet import RedisFleet
from tests.simulation.on_redis.wire import Call
from volumelease.model import Draft

if TYPE_CHECKING:
    from tests.simulation.held import Held
    from tests.simulation.on_redis.held import WatchedRedisSession

LATE: Final = frozenset(
    {"stop", "stall", "kill", "suspend", "freeze", "mount", "interrupt", "delete"}
)
"""What can come between a check and its rename."""


class RedisPublishes(Publishes):
    def __init__(self, fleet: RedisFleet) -> None:
        super().__init__(fleet)
        self._checked: set[tuple[str, int]] = set()
        self._count = 0
        self._prompt = not LATE & set(fleet.setup.troubles)

    def served(self, call: Call, reply: list[Any]) -> None:
        if call.script == "look" and reply[0] == b"look" and b"granted" in reply[2]:
            numbers = zip(reply[2][::2], reply[2][1::2], strict=True)
            self._checked |= {(call.session, int(n)) for n, how in numbers if how == b"granted"}

    def publishing(self, session: WatchedRedisSession, draft: Draft) -> None:
        """A worker asks for a publish: what was checked before is worth nothing."""
        self._checked -= {(session.name, self._number(session, draft))}

    def replacing(self, session: WatchedRedisSession, draft: Draft) -> None:
        """The rename of that draft is asked for."""
        who = session.worker.process.name
        if session.loss_of(draft.token):
            raise self.violation(f"{who} publishes {draft.target} with a lease that it has lost")
        if (session.name, self._number(session, draft)) not in self._checked:
            raise self.violation(f"{who} publishes {draft.target}, and nobody said that it may")
        self._count += 1
        self._decided[draft.target.path].setdefault(draft.unique, self._count)

    def _number(self, session: WatchedRedisSession, draft: Draft) -> int:
        mine = session.requests.wanted.get(draft.token)
        return -1 if mine is None else mine.number

    def granted(self, held: Held) -> None:
        """Whoever is granted a lease may find a publish that is still on its way."""

    def released(self, held: Held) -> None:
        """Judged when it is published."""

    def published(self, held: Held, place: str, unique: str) -> None:
        if self._prompt:
            super().published(held, place, unique)

    def _see(self, place: str) -> int:
        if not self._prompt:
            self._newest.pop(place, None)
        return super()._see(place)
