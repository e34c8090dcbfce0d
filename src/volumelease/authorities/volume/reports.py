"""Each session leaves what it counted on the volume, for whoever shows the whole fleet.

A report is a symlink, renamed into place: two operations on metadata, as a beat is one. A file
would have to be written, and a write can hang where metadata goes on answering: a beat that waits
for it costs every lease. It needs no space either, so a full volume still tells of itself.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from volumelease.clock import Clock
from volumelease.effects import Rename, Steps, Symlink, Unlink
from volumelease.tallies import Counts, Tally
from volumelease.wire.counts import encode_counts

from .fleet import NEW, Fleet
from .layout import Layout
from .replica import Replica

REPORT_BEATS: Final = 3
FOLD_BEATS: Final = 60
MOST_BYTES: Final = 4000
"""A symlink holds 4,095. Thirty times what a busy worker counts."""


class Reports:
    """The reports of one session. Promise: what one process counts appears once, in the reports
    of all its sessions together. Limit: a report whose answer was lost can be counted twice."""

    def __init__(self, layout: Layout, session: str, tally: Tally, clock: Clock) -> None:
        self._layout = layout
        self._session = session
        self._tally = tally
        self._clock = clock
        self._before = tally.reported.copy()
        self._sent = Counts()
        self._beats = 0

    def chore(self, replica: Replica) -> Steps[None]:
        """After a beat. Errors: none; the next one tells it all again."""
        self._beats += 1
        if self._beats % REPORT_BEATS == 1:
            yield from self.leave()
        if self._beats % FOLD_BEATS == FOLD_BEATS - 1:
            # Else a fleet without an exporter would leave one more symlink for each worker.
            fleet = Fleet(self._layout, self._clock)
            yield from fleet.fold_if_many(
                lambda name: name in replica.table.sessions, replica.catch_up
            )

    def leave(self) -> Steps[None]:
        """Say what was counted up to now, if anything is new. Errors: none."""
        counted = self._tally.counts()
        mine = counted.copy().add(self._before, -1)
        text = encode_counts(mine)
        if mine == self._sent or len(text) > MOST_BYTES:
            return
        place = self._layout.report(self._session)
        with suppress(OSError):
            try:
                yield Symlink(text, place + NEW)
            except FileExistsError:  # of a try that was interrupted, or this one, resent
                yield Unlink(place + NEW)
                yield Symlink(text, place + NEW)
            yield Rename(place + NEW, place)
            self._sent, self._tally.reported = mine, counted
