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
            segments = [name for name in log.entries if number_of(name) >= 0]
            if len(segments) > MOST_SEGMENTS:
                raise self.violation(f"{len(segments)} segments are left in the log")
