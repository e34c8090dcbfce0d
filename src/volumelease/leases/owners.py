"""Who, inside this process, a lease belongs to: the current asyncio task, else the thread.

Two owners of one process exclude each other like two hosts, because one handler process runs
many jobs. An owner may enter again what it holds already.
"""

from __future__ import annotations

import itertools
import sys
import threading
import weakref
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

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

    def live(self, volume: str) -> bool:
        """Whether its block goes on, on that volume, and the lease was not lost."""
        return self.volume == volume and not self.lease.over

    def covers(self, claims: tuple[Claim, ...], exclusive: bool) -> bool:
        """Whether it already gives all of ``claims``."""
        return (self.exclusive or not exclusive) and all(
            any(covers(h.key, c.key) for h in self.claims) for c in claims
        )

    def clashes(self, claims: tuple[Claim, ...], exclusive: bool) -> bool:
        """Whether a request for ``claims`` would wait for it."""
        return (self.exclusive or exclusive) and any(
            overlaps(h.key, c.key) for h in self.claims for c in claims
        )


class Owner:
    """A thread or task. ``name`` is unique in this process for ever: thread numbers are reused,
    and a new thread must not inherit what a dead one held."""

    __slots__ = ("__weakref__", "family", "held", "name")

    def __init__(self, name: str, family: Owners) -> None:
        self.name = name
        self.family = family
        self.held: list[Held] = []

    @property
    def kind(self) -> str:
        """``"task"`` or ``"thread"``."""
        return self.name.partition("-")[0]

    def forget_abandoned(self) -> None:
        """A request of this owner was given up while the volume did not answer, and may still be
        granted before it is given back. Under a new name, the next request waits for it as for
        anybody's, instead of being refused as waiting for itself. An owner that holds something
        keeps its name: deadlocks are found by it."""
        if not self.held:
            base, _, number = self.name.partition("/")
            self.name = f"{base}/{int(number or 0) + 1}"

    def enter(self, held: Held) -> None:
        """It has that lease now, and what it starts from here on knows so."""
        self.held.append(held)
        around = _around.get()
        if around:
            around = tuple(pair for pair in around if not pair[1].lease.over)
        _around.set((*around, (self, held)))

    def leave(self, held: Held) -> None:
        """It has that lease no longer. In any context: a block may end in another task."""
        if held in self.held:
            self.held.remove(held)
        _around.set(tuple(pair for pair in _around.get() if pair[1] is not held))

    def covering(self, volume: str, claims: tuple[Claim, ...], exclusive: bool) -> Held | None:
        """The lease that already gives all of ``claims``, if there is one."""
        for held in self.held:
            if held.live(volume) and held.covers(claims, exclusive):
                return held
        return None

    def clashing(self, volume: str, claims: tuple[Claim, ...], exclusive: bool) -> Held | None:
        """A lease of this owner that a request for ``claims`` would wait for: for ever."""
        for held in self.held:
            if held.live(volume) and held.clashes(claims, exclusive):
                return held
        return None

    def around(self) -> tuple[Held, ...]:
        """The leases of those who started this one inside their blocks, as far as that is known:
        a task copies the context of who started it, and so does ``asyncio.to_thread``; a thread
        started in another way doesn't (before Python 3.14)."""
        return tuple(
            held
            for owner, held in _around.get()
            if owner is not self and owner.family is self.family and not held.lease.over
        )


_around: Final[ContextVar[tuple[tuple[Owner, Held], ...]]] = ContextVar(
    "volumelease.around", default=()
)
"""The blocks that the running code is inside of, its own and those that it was started in."""


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
                owner = self._tasks[task] = Owner(f"task-{next(self._numbers)}", self)
            return owner
        known: Owner | None = getattr(self._thread, "owner", None)
        if known is None:
            known = self._thread.owner = Owner(f"thread-{next(self._numbers)}", self)
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
