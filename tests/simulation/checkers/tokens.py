"""Token order: whoever gets conflicting paths later has the larger token; none is used twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import Checker
from .exclusion import conflict

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import Held


class Tokens(Checker):
    name = "token order"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._granted: list[Held] = []
        self._tokens: set[tuple[str, int]] = set()

    def granted(self, held: Held) -> None:
        if self._excused() or not self.fleet.counts(held.session):
            return
        if not held.believed():  # it may have been stopped, and lost, meanwhile
            return
        identity = held.session.log
        if (identity, held.token) in self._tokens:
            raise self.violation(f"{held}: that token was granted before")
        self._tokens.add((identity, held.token))
        for earlier in self._granted:
            same_log = earlier.session.log == identity
            if same_log and earlier.token > held.token and self._met(earlier, held):
                raise self.violation(f"{held} after {earlier}")
        self._granted.append(held)

    def _met(self, earlier: Held, held: Held) -> bool:
        """Whether the older request got the conflicting paths after the younger one."""
        return conflict(earlier, held)

    def changed(self, held: Held) -> None:
        """A downgraded lease conflicts with less; what conflicted before is no longer known."""
        if held in self._granted:
            self._granted.remove(held)

    def _excused(self) -> bool:
        return bool({"forget", "freeze"} & set(self.fleet.setup.troubles))
