"""The volume stays small: old segments and drafts that lost do not pile up."""

from __future__ import annotations

from volumelease.authorities.volume.layout import CONTROL, number_of

from . import Checker

MOST_SEGMENTS = 7
"""Two newest and those that a failed call left for the next turnover."""


class Tidiness(Checker):
    name = "tidiness"

    def finished(self) -> None:
        control = self.fleet.server.root.entries.get(CONTROL)
        for home in control.entries.values() if control else ():
            log = home.entries.get("log")
            if log is None:
                continue
            numbers = {number_of(name) for name in log.entries} & set(range(self._end()))
            if len(numbers) > MOST_SEGMENTS:
                raise self.violation(f"segments {sorted(numbers)} are left in the log")

    def _end(self) -> int:
        """What was elected by forgotten entries may lie beyond the end of the log, until the log
        has grown past it."""
        sessions = [worker.session for worker in self.fleet.alive() if worker.session is not None]
        return max((session.replica.segment + 1 for session in sessions), default=0)
