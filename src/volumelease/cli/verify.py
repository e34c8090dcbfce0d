"""``volumelease verify``: replays the log and reports any breach of the rules."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import click

from . import speech
from .parameters import PathText
from .speech import one_line, plural, say

if TYPE_CHECKING:
    from volumelease.authorities.volume.replay import Finding, Replay
    from volumelease.core.records import Entry
    from volumelease.core.table import Outcome, Table
    from volumelease.wire.identity import Identity

    from .places import Place

LIMIT: Final = (
    "segments that were deleted are gone, and a record that somebody forged whole in the name of "
    "a live session looks like that session's own"
)


@click.command(short_help="Replay the log and report breaches of its rules.")
@click.argument("directory", required=False, metavar="[DIR]", type=PathText())
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
def command(directory: str | None, as_json: bool) -> int:
    """Replay the log of a volume and report every breach of its rules.

    DIR is the volume or something on it; without it, the volume of the working directory, else
    the mounted network volume. Reads all that is left of the log, and never writes: entries that
    are no records or were not allowed, records and segments that are gone or don't fit, leases of
    nobody. Exit code 1 when something was found.

    Limit: segments are deleted some minutes after they are full. Whoever can write the volume
    can forge a record.
    """
    from .places import place_of
    from .reading import Reader, patiently

    place = patiently(lambda: place_of(directory), directory or "the volume")
    tally = Tally()
    identity, replay = Reader(place.root).replay(tally)
    findings = [*replay.findings, *_left_undone(replay.table)]
    if as_json:
        say(json.dumps(_document(place, identity, replay, tally, findings)))
    else:
        for line in _lines(place, identity, replay, tally):
            say(line)
        for finding in findings:
            word = click.style(f"{finding.kind}", fg="red")  # dropped where nobody can see it
            say(f"{word} {_where(finding)}{one_line(finding.detail)}")
        say(_verdict(findings))
        say(f"limit: {LIMIT}")
    return 1 if findings else 0


@dataclass(slots=True)
class Tally:
    """Counts what a replay tells."""

    records: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    oldest_wall: float | None = None

    def begins(self, index: int, table: Table) -> None:
        """Nothing to count."""

    def applied(self, index: int, entry: Entry, outcome: Outcome, table: Table) -> None:
        del index, table
        if self.oldest_wall is None:
            self.oldest_wall = entry.wall
        self.records[type(entry.body).__name__.lower()] += 1
        if outcome.cycle:
            self.refused["a circle of waiting"] += 1
        elif outcome.void:
            self.refused[outcome.void] += 1


def _left_undone(table: Table) -> list[Finding]:
    """Publishes that were decided, not applied, and whose session is over: they are seen by nobody
    until somebody leases a path of theirs."""
    from volumelease.authorities.volume.replay import Finding

    return [
        Finding("publish", index, f"of {pending.target.path} was decided and never applied")
        for index, pending in sorted(table.pending.items())
        if pending.session not in table.sessions
    ]


# ---- for programs


def _document(
    place: Place, identity: Identity, replay: Replay, tally: Tally, findings: list[Finding]
) -> dict[str, Any]:
    table = replay.table
    waiting = sum(not holding.granted for holding in table.holdings.values())
    return {
        "schema": 1,
        "volume": place.as_document(identity.id),
        "clean": not findings,
        "entries": {"first": replay.first_index, "next": replay.next_index},
        "oldest_at": tally.oldest_wall,
        "records": dict(sorted(tally.records.items())),
        "refused": dict(sorted(tally.refused.items())),
        "sessions": len(table.sessions),
        "leases": len(table.holdings) - waiting,
        "waiting": waiting,
        "pending_publishes": len(table.pending),
        "findings": [finding._asdict() for finding in findings],
        "limit": LIMIT,
    }


# ---- for people


def _lines(place: Place, identity: Identity, replay: Replay, tally: Tally) -> list[str]:
    table = replay.table
    waiting = sum(not holding.granted for holding in table.holdings.values())
    found = [
        f"volume {one_line(place.root)} ({place.kind}) id {identity.id}",
        f"replayed: {how_far_back(replay, tally.oldest_wall)}",
    ]
    if tally.records:
        found.append(f"records: {_counted(tally.records)}")
    if tally.refused:
        found.append(f"refused: {_counted(tally.refused)}")
    found.append(
        f"now: {plural(len(table.sessions), 'session')}, "
        f"{plural(len(table.holdings) - waiting, 'lease')}, {waiting} waiting, "
        f"{plural(len(table.pending), 'publish', 'publishes')} to be applied"
    )
    return found


def how_far_back(replay: Replay, oldest_wall: float | None) -> str:
    """How much of the log there still is, in words."""
    last = f"entries {replay.first_index} to {replay.next_index - 1}"
    if replay.next_index <= replay.first_index or oldest_wall is None:
        return "nothing was committed yet" if not replay.first_index else last
    return f"{last}, since {speech.moment(oldest_wall)}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _where(finding: Finding) -> str:
    return ": " if finding.entry is None else f"at entry {finding.entry}: "


def _verdict(findings: list[Finding]) -> str:
    if not findings:
        return "clean: nothing breaks the rules"
    return f"{plural(len(findings), 'finding')}: stop the workers before you repair anything"
