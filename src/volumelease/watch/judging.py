"""From what was seen to a verdict: was it a write, whose, and did a lease cover it?

A verdict waits for a grace period: times have whole seconds, mounts show old attributes for another
one, and the end of a lease is read a moment later. Then the history of leases is read once more. So
a write under a lease that was just released is no violation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .events import Event
from .scanner import Change, Seen
from .spans import Spans
from .violations import Origin

GRACE_SECONDS: Final = 2.5
"""1 s granularity of times, 1 s attribute cache, and what an event takes to be heard."""

LATE_SECONDS: Final = 1.5
"""watchdog holds events back to pair the two halves of a move, and a busy machine some more."""

AGAIN_SECONDS: Final = 10.0
"""Writes to one path within this time are one violation."""

_REMEMBERED_SECONDS: Final = 180.0


@dataclass(slots=True)
class Suspicion:
    """Something changed at ``path`` (relative); judged at ``due`` (all monotonic)."""

    path: str
    what: str
    directory: bool
    origin: Origin
    since: float
    until: float
    due: float
    before: Seen | None
    sure: bool
    """Whether it is known to have changed; else its state is compared with ``before``."""
    at: str
    """``path`` as the volume spells it: leases compare NFC, but files open by their own names."""


class Judging:
    """Collects suspicions and says which of them are due. Not thread-safe."""

    def __init__(self, spans: Spans, boot_id: str) -> None:
        self._spans = spans
        self._boot_id = boot_id
        self._waiting: dict[str, Suspicion] = {}
        self._local: dict[str, float] = {}
        self._local_folders: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._blind: list[tuple[float, float]] = []

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def blind(self, since: float, until: float) -> None:
        """Local events were missed between the two: nobody can attribute what a scan finds."""
        if self._blind and since <= self._blind[-1][1]:
            since = min(since, self._blind.pop()[0])
        self._blind.append((since, until))
        del self._blind[:-100]

    def heard(self, path: str, at: str, event: Event, before: Seen | None) -> None:
        """A local event at ``path``, spelled ``at``; ``before`` is what a scan saw there last."""
        self._local[path] = event.at
        if event.directory:
            self._local_folders[path] = event.at
        known = self._waiting.get(path)
        if known is not None and known.origin == "local":
            known.until = max(known.until, event.at)
            known.what = known.what if known.what != "changed" else event.what
            known.sure |= event.what != "changed" or known.at != at  # two files of one name
            return
        self._waiting[path] = Suspicion(
            path=path,
            what=event.what,
            directory=event.directory,
            origin="local",
            since=event.at - LATE_SECONDS,
            until=event.at,
            due=event.at + GRACE_SECONDS,
            before=before,
            sure=event.what != "changed" or known is not None,  # then a scan was faster
            at=at,
        )

    def scanned(self, change: Change, at: str, watched: bool) -> None:
        """A scan found a change, at what is spelled ``at``. ``watched``: local writes there would
        have been heard."""
        known = self._waiting.get(change.path)
        if known is not None:
            known.sure = True
            return
        if self._heard_within(change):
            return  # judged as a local write
        directory = any(s is not None and s.kind == "d" for s in (change.before, change.after))
        self._waiting[change.path] = Suspicion(
            path=change.path,
            what=change.what,
            directory=directory,
            origin="remote" if watched else "unknown",
            since=change.since - LATE_SECONDS,
            until=change.until,
            due=change.until
            + GRACE_SECONDS
            + LATE_SECONDS,  # so that a host that heard it is first
            before=change.before,
            sure=True,
            at=at,
        )

    def _heard_within(self, change: Change) -> bool:
        first, last = change.since - LATE_SECONDS, change.until + LATE_SECONDS
        if first <= self._local.get(change.path, float("-inf")) <= last:
            return True
        path = change.path
        while path:
            if first <= self._local_folders.get(path, float("-inf")) <= last:
                return True
            path = path.rpartition("/")[0]
        return False

    def ripe(self, now: float) -> bool:
        """Whether the time of any has come."""
        return any(one.due <= now for one in self._waiting.values())

    def due(self, now: float) -> list[Suspicion]:
        """Those whose time has come; judge them after the history was read once more."""
        ripe = [one for one in self._waiting.values() if one.due <= now]
        for one in ripe:
            del self._waiting[one.path]
        if len(self._local) + len(self._told) > 10_000:
            self._forget(now - _REMEMBERED_SECONDS)
        return ripe

    def late_local(self, one: Suspicion) -> bool:
        """Whether a local event explains meanwhile what a scan found."""
        if one.origin == "local":
            return False
        change = Change(one.path, one.what, None, None, one.since + LATE_SECONDS, one.until)
        return self._heard_within(change)

    def origin_of(self, one: Suspicion) -> Origin:
        """As is known at its end: that events were lost is told later than they are lost."""
        if one.origin == "remote":
            for first, last in self._blind:
                if first <= one.until and one.since <= last:
                    return "unknown"
        return one.origin

    def covered(self, one: Suspicion) -> bool:
        boot_id = self._boot_id if one.origin == "local" else ""
        made = one.directory and one.what == "created"
        until = one.until + (0.0 if one.origin == "local" else GRACE_SECONDS)
        since = one.since - GRACE_SECONDS
        return self._spans.covered(one.path, since, until, boot_id, above=made)

    def told_lately(self, one: Suspicion, now: float) -> bool:
        """Whether a violation of that path was told within the last seconds; if not, it is now."""
        if now - self._told.get(one.path, float("-inf")) < AGAIN_SECONDS:
            return True
        self._told[one.path] = now
        return False

    def _forget(self, before: float) -> None:
        for memory in (self._local, self._local_folders, self._told):
            for path in [path for path, at in memory.items() if at < before]:
                del memory[path]
