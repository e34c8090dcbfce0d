"""Who, inside this process, a lease belongs to: the current asyncio task, else the thread.

Two owners of one process exclude each other like two hosts, because one handler process runs
many jobs. An owner may enter again what it holds already.
"""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from typing import Any, NamedTuple

from volumelease.core.conflicts import covers, overlaps
from volumelease.model import Claim


class Held(NamedTuple):
    """One lease of an owner, as far as re-entrancy is concerned."""

    volume: str
    claims: tuple[Claim, ...]
    lease: Any

    @property
    def exclusive(self) -> bool:
        """As it is now: a lease can be downgraded."""
        return bool(self.lease.mode == "exclusive")


class Owner:
    """A thread or task. ``name`` is unique in this process for ever: thread numbers are reused,
    and a new thread must not inherit what a dead one held."""

    __slots__ = ("__weakref__", "held", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.held: list[Held] = []

    def forget_abandoned(self) -> None:
        """A request of this owner was given up while the volume did not answer, and may still be
        granted before it is given back. Under a new name, the next request waits for it as for
        anybody's, instead of being refused as waiting for itself. An owner that holds something
        keeps its name: deadlocks are found by it."""
        if not self.held:
            base, _, number = self.name.partition("/")
            self.name = f"{base}/{int(number or 0) + 1}"

    def _live(self, volume: str) -> list[Held]:
        return [held for held in self.held if held.volume == volume and not held.lease.lost]

    def covering(self, volume: str, claims: tuple[Claim, ...], exclusive: bool) -> Held | None:
        """The lease that already gives all of ``claims``, if there is one."""
        for held in self._live(volume):
            if (held.exclusive or not exclusive) and all(
                any(covers(h.key, c.key) for h in held.claims) for c in claims
            ):
                return held
        return None

    def clashing(self, volume: str, claims: tuple[Claim, ...], exclusive: bool) -> Held | None:
        """A lease of this owner that a request for ``claims`` would wait for: for ever."""
        for held in self._live(volume):
            if (held.exclusive or exclusive) and any(
                overlaps(h.key, c.key) for h in held.claims for c in claims
            ):
                return held
        return None


class Owners:
    """Finds the current owner. One for the process; a forked child starts with a new one."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._thread = threading.local()
        self._tasks: weakref.WeakKeyDictionary[Any, Owner] = weakref.WeakKeyDictionary()

    def current(self) -> Owner:
        task = _current_task()
        if task is not None:
            owner = self._tasks.get(task)
            if owner is None:
                owner = self._tasks[task] = Owner(f"task-{next(self._numbers)}")
            return owner
        known: Owner | None = getattr(self._thread, "owner", None)
        if known is None:
            known = self._thread.owner = Owner(f"thread-{next(self._numbers)}")
        return known


def _current_task() -> Any:
    asyncio = sys.modules.get("asyncio")  # a process that never imported it runs no tasks
    if asyncio is None:
        return None
    # Another thread may be importing it this moment: then it is there and has no names yet.
    current_task = getattr(asyncio, "current_task", None)
    if current_task is None:
        return None
    try:
        return current_task()
    except RuntimeError:
        return None
