"""What the whole fleet counted, where a Redis keeps the leases: the reports lie beside the table.

As ``authorities.volume.fleet``, and simpler: a script folds in one step, so nobody is counted twice
and nothing is left to clean up. Limit: a Redis that loses its memory loses the sum; what live
workers counted, they tell again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Final

from volumelease.authorities.volume.fleet import MANY, Reported
from volumelease.authorities.volume.reports import FOLD_BEATS, REPORT_BEATS
from volumelease.clock import Clock
from volumelease.effects import CallScript, Steps
from volumelease.errors import LeaseError
from volumelease.tallies import Counts, Tally, note_beat
from volumelease.wire.counts import decode_counts, encode_counts

from .calling import Calls, state_key, text

REMEMBERED_SECONDS: Final = 86_400.0
"""How long it is known who is in the sum: a report that is later than that is counted twice."""

_TRIES: Final = 8


class Reports:
    """The reports of one session; see ``authorities.volume.reports``."""

    def __init__(self, identity_id: str, calls: Calls, tally: Tally, clock: Clock) -> None:
        self._fleet = RedisFleet(identity_id, clock)
        self._new = 0
        self._calls = calls
        self._clock = clock
        self._tally = tally
        self._before = tally.reported.copy()
        self._sent = Counts()
        self._beats = 0

    def note_call(self, asked_at: float) -> None:
        seconds = self._clock.monotonic() - asked_at
        self._tally.note((("commit_duration_seconds", "redis"), seconds))

    def note_beat(self, sent_at: float, counted: bool, lost: str) -> None:
        note_beat(self._tally, self._clock.monotonic() - sent_at, counted, lost)

    def chore(self) -> Steps[None]:
        """After a beat. Errors: none; the next one tells it all again."""
        self._beats += 1
        if self._beats % REPORT_BEATS == 1:
            yield from self.leave()
        if self._beats % FOLD_BEATS == FOLD_BEATS - 1 and self._new >= MANY:
            # Else a fleet without an exporter would leave one more report for each worker.
            with suppress(LeaseError):
                yield from self._fleet.fold()

    def leave(self) -> Steps[None]:
        """Say what was counted up to now, if anything is new. Errors: none."""
        counted = self._tally.counts()
        mine = counted.copy().add(self._before, -1)
        if mine == self._sent:
            return
        with suppress(LeaseError):
            reply = yield from self._calls.once("report", encode_counts(mine))
            self._new = int(reply.rest[0])
            self._sent, self._tally.reported = mine, counted


class RedisFleet:
    """Reads and folds the reports of one volume. Takes no part in leases."""

    def __init__(self, identity_id: str, clock: Clock) -> None:
        self._clock = clock
        self._key = state_key(identity_id)

    def read(self) -> Steps[Reported]:
        """All that was ever counted. Errors: those of ``CallScript``."""
        fields, _ = yield from self._fields()
        counts = decode_counts(fields.get("total", "")) or Counts()
        reports = _reports(fields)
        for report in reports.values():
            counts.add(decode_counts(report) or Counts())
        return Reported(counts, len(reports), len(_folded(fields)))

    def fold(self) -> Steps[int]:
        """Bring the reports of sessions that are over into the sum, and forget who came into it
        long ago. Returns how many reports. Errors: those of ``CallScript``."""
        for _ in range(_TRIES):
            fields, live = yield from self._fields()
            over = {name: said for name, said in _reports(fields).items() if name not in live}
            long_ago = self._clock.wall() - REMEMBERED_SECONDS
            if not over and not any(at < long_ago for at in _folded(fields).values()):
                return 0
            before = fields.get("total", "")
            counts = decode_counts(before) or Counts()
            for report in over.values():
                counts.add(decode_counts(report) or Counts())
            pairs = [part for pair in over.items() for part in pair]
            reply = yield self._call(
                "fold", before, encode_counts(counts), f"{long_ago:.3f}", *pairs
            )
            if text(reply[0]) == "folded":
                return len(over)
        return 0

    def leave(self, tally: Tally) -> Steps[None]:
        """Leave what that tally counted since the last time, as of a session that is over. Limit:
        what is left and not answered is counted twice. Errors: those of ``CallScript``."""
        counted = tally.counts()
        mine = counted.copy().add(tally.reported, -1)
        if mine != Counts():
            yield self._call("report", encode_counts(mine), session=os.urandom(8).hex())
            tally.reported = counted

    def _fields(self) -> Steps[tuple[dict[str, str], set[str]]]:
        reply = yield self._call("reports")
        said = [text(part) for part in reply[1]]
        fields = dict(zip(said[::2], said[1::2], strict=True))
        return fields, {text(name) for name in reply[2]}

    def _call(self, script: str, *arguments: Any, session: str = "") -> CallScript:
        head = ("0", "", session, f"{self._clock.wall():.3f}")
        return CallScript(script, self._key, (*head, *arguments))


def _reports(fields: dict[str, str]) -> dict[str, str]:
    mark = "session:"
    return {name[len(mark) :]: said for name, said in fields.items() if name.startswith(mark)}


def _folded(fields: dict[str, str]) -> dict[str, float]:
    """When each session came into the sum, by the wall clock of who folded."""
    mark = "folded:"
    return {name: _moment(at) for name, at in fields.items() if name.startswith(mark)}


def _moment(wall: str) -> float:
    """What is no time was long ago."""
    try:
        return float(wall)
    except ValueError:
        return 0.0
