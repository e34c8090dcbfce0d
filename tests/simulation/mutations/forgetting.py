"""Rules about a master that crashes and forgets what it had acknowledged."""

from __future__ import annotations

from collections import deque
from typing import Any

from tests.simulation import mount
from volumelease.authorities.volume import ground, trail
from volumelease.authorities.volume.replica import Replica
from volumelease.authorities.volume.trail import Step, Trail
from volumelease.core.table import Table
from volumelease.effects import Directory, Steps
from volumelease.wire import marks, snapshots

Patches = list[tuple[Any, str, Any]]


def mark_not_checked() -> Patches:
    def trusting(mark: int, target: str) -> str | None:
        return target[marks.MARK_LETTERS :]

    return [(marks, "unseal", trusting)]


def nothing_read_again() -> Patches:
    def trusting(self: Trail) -> Steps[str]:
        self._found_in_place([], self._clock.boottime())
        return ""
        yield

    return [(Trail, "difference", trusting)]


def last_entry_alone() -> Patches:
    """What a beat looks at is what it knew last, as the first version did."""
    difference = Trail.difference

    def careless(self: Trail) -> Steps[str]:
        self._runs = deque([self.steps()[-1:]])
        return (yield from difference(self))

    return [(Trail, "difference", careless)]


def lengths_not_told() -> Patches:
    """What a mount knows by the number of an inode is as long as what the server holds."""

    def by_length(known: str, real: str) -> bool:
        return len(known.rstrip(" ")) != len(real.rstrip(" "))

    return [(mount, "told_apart", by_length)]


def void_entries_counted() -> Patches:
    def last(steps: list[Step]) -> list[Step]:
        return steps[-trail.KEPT :]

    return [(trail, "_last_of", last)]


def settled_at_once() -> Patches:
    """Once a beat found it in place.

    The note is on its way when a crash forgets the election; it lands in the draft, which whoever
    had read the election moves in place again. Some come new before that, and elect another."""
    found = Trail._found_in_place

    def at_once(self: Trail, steps: list[Step], now: float) -> None:
        found(self, steps, float("inf"))

    return [(Trail, "_found_in_place", at_once)]


def draft_not_made_anew() -> Patches:
    """A crash forgets the draft while the entry that elects it is on its way, and that lands."""

    def wait(self: Replica, name: str) -> Steps[None]:
        return
        yield

    def check(layout: Any, name: str, directory: Directory, table: Table) -> Steps[str]:
        yield from ground.read_place(layout, "s0", directory)
        return snapshots.digest_of(table)

    return [(Replica, "_make_anew", wait), (ground, "check_snapshot", check)]
