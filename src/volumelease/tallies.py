"""What is counted for operations, and the light way to count it.

Nothing here knows a monitoring system: a lease pays for one ``append`` to a queue when it is
granted and one when it ends. Whoever wants to see the numbers (``volumelease.metrics``) takes the
queue apart. METRICS.md is written from the catalogue below.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from volumelease.model import Claim

Kind = Literal["counter", "gauge", "histogram"]

PREFIX: Final = "volume_lease_"
OTHER: Final = "other"
"""The scope of what lies in no configured root."""

_LEASE_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_WAIT_BUCKETS: Final = (*_LEASE_SECONDS, 2.5, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0)
_HOLD_BUCKETS: Final = (0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
_CALL_BUCKETS: Final = (*_LEASE_SECONDS, 2.5, 5.0, 15.0)
_SCAN_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

OUTCOMES: Final = ("acquired", "timeout", "error", "cancelled")
ENDINGS: Final = ("released", "expired", "lost", "broken")
LOSSES: Final = ("expired", "deadline", "paused", "broken", "log", "other")
ORIGINS: Final = ("local", "remote", "unknown")
LEVELS: Final = ("none", "python", "landlock", "supervised")
AUTHORITIES: Final = ("volume", "redis")
BELLS: Final = ("redis", "fcntl", "poll")
SCANS: Final = ("known", "everything")


class Metric(NamedTuple):
    """One metric, without its prefix. ``labels`` name their closed sets; ``scope`` is a configured
    root or ``other``, and comes first."""

    name: str
    kind: Kind
    help: str
    scope: bool = False
    labels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    buckets: tuple[float, ...] = ()
    volume: bool = False
    """Also told apart by the identity of the volume, which is no part of its key."""

    def keys(self, scopes: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """All that can be counted under it: each starts at 0."""
        for scope in scopes if self.scope else ("",):
            found: list[tuple[str, ...]] = [(scope,) if self.scope else ()]
            for _, values in self.labels:
                found = [(*key, value) for key in found for value in values]
            yield from ((self.name, *key) for key in found)


METRICS: Final = (
    Metric(
        "acquire_duration_seconds",
        "histogram",
        "From asking for a lease to its grant, or to giving up",
        scope=True,
        labels=(("outcome", OUTCOMES),),
        buckets=_WAIT_BUCKETS,
    ),
    Metric(
        "hold_duration_seconds",
        "histogram",
        "From the grant of a lease to its end",
        scope=True,
        labels=(("outcome", ENDINGS),),
        buckets=_HOLD_BUCKETS,
    ),
    Metric(
        "renew_duration_seconds",
        "histogram",
        "One heartbeat: its write, and the reading of the identity and the log",
        labels=(("outcome", ("ok", "failed", "lost")),),
        buckets=_CALL_BUCKETS,
    ),
    Metric(
        "renew_failures_total",
        "counter",
        "Heartbeats that did not count",
        labels=(("reason", ("unanswered", "late", "lost")),),
    ),
    Metric(
        "lost_total",
        "counter",
        "Leases whose holder found that it may no longer assume them",
        scope=True,
        labels=(("reason", LOSSES),),
    ),
    Metric(
        "forced_releases_total",
        "counter",
        "Leases that were ended by a person (volumelease break)",
        scope=True,
        labels=(("reason", ("broken",)),),
    ),
    Metric(
        "takeovers_total",
        "counter",
        "Leases taken from a session that was over: its heartbeat stood still, or its death was "
        "proved",
        scope=True,
        labels=(("reason", ("standstill", "death")),),
    ),
    Metric("held", "gauge", "Leases held", scope=True),
    Metric("waiters", "gauge", "Requests that wait", scope=True),
    Metric("oldest_hold_seconds", "gauge", "How long the oldest lease is held", scope=True),
    Metric("oldest_wait_seconds", "gauge", "How long the oldest request waits", scope=True),
    Metric(
        "violations_total",
        "counter",
        "Writes that no lease covered; local: made on the host that saw it, remote: on another, or "
        "past every host; unknown: something was missed, so nobody can say",
        scope=True,
        labels=(("origin", ORIGINS),),
    ),
    Metric(
        "denied_writes_total",
        "counter",
        "Writes without a lease that were stopped",
        labels=(("level", LEVELS),),
    ),
    Metric(
        "enforcement_level",
        "gauge",
        "1 for the level in force, 0 for the others",
        labels=(("level", LEVELS),),
    ),
    Metric("publishes_total", "counter", "Drafts that became visible", scope=True),
    Metric(
        "publish_refused_total",
        "counter",
        "Publishes that came to nothing, because the lease was lost or the place could not take it",
        scope=True,
    ),
    Metric("staged_bytes", "gauge", "Size of the drafts that are not published", scope=True),
    Metric("log_commits_total", "counter", "Entries of the log committed", volume=True),
    Metric(
        "log_conflicts_total",
        "counter",
        "Commits that found their index taken, or unknown",
        volume=True,
    ),
    Metric("log_entries", "gauge", "The index at which the log goes on", volume=True),
    Metric(
        "authority_up",
        "gauge",
        "Whether what grants the leases answered lately",
        labels=(("authority", AUTHORITIES),),
    ),
    Metric("bell_up", "gauge", "Whether that bell wakes waiters", labels=(("bell", BELLS),)),
    Metric("wakeups_total", "counter", "Waiters woken by a bell", labels=(("bell", BELLS),)),
    Metric(
        "commit_duration_seconds",
        "histogram",
        "From the first try of a commit until it is known to be in the log, or of a call on the "
        "Redis that grants",
        labels=(("authority", AUTHORITIES),),
        buckets=_CALL_BUCKETS,
    ),
    Metric("watch_overflows_total", "counter", "Times that the kernel dropped file events"),
    Metric("watches", "gauge", "Directories that the kernel watches for us"),
    Metric("watched_directories", "gauge", "Directories below the configured roots"),
    Metric(
        "last_scan_timestamp_seconds",
        "gauge",
        "When a scan was last completed, by this host's clock",
        labels=(("kind", SCANS),),
    ),
    Metric(
        "scan_duration_seconds",
        "histogram",
        "One scan below the configured roots",
        labels=(("kind", SCANS),),
        buckets=_SCAN_BUCKETS,
    ),
    Metric(
        "clock_skew_seconds",
        "gauge",
        "How far the volume's clock is ahead of the exporter's; shown, and used for nothing",
    ),
    Metric("ttl_seconds", "gauge", "The ttl of the volume"),
)
"""All of them but ``build_info``, which has the version as its label."""

BY_NAME: Final = {metric.name: metric for metric in METRICS}

Key: TypeAlias = tuple[str, ...]
"""The name of a metric and the values of its labels, scope first."""

Note: TypeAlias = tuple[Key, float]


class Counts:
    """Counters and histograms added up. Of a counter one number, of a histogram its buckets (each
    for itself, the last for what is longer than all) and its sum."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[Key, list[float]] | None = None) -> None:
        self.values: dict[Key, list[float]] = {k: list(v) for k, v in (values or {}).items()}

    def note(self, key: Key, value: float) -> None:
        metric = BY_NAME[key[0]]
        slots = self.slots(key)
        if metric.kind == "histogram":
            slots[bisect_left(metric.buckets, value)] += 1
            slots[-1] += value
        else:
            slots[0] += value

    def slots(self, key: Key) -> list[float]:
        slots = self.values.get(key)
        if slots is None:
            buckets = BY_NAME[key[0]].buckets
            slots = self.values[key] = [0.0] * (len(buckets) + 2 if buckets else 1)
        return slots

    def add(self, other: Counts, sign: int = 1) -> Counts:
        """Add what another counted, or (``sign`` -1) leave it out. Returns itself."""
        for key, values in other.values.items():
            slots = self.slots(key)
            for place, value in enumerate(values):
                slots[place] += sign * value
        return self

    def copy(self) -> Counts:
        return Counts(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and _full(self) == _full(other)

    __hash__ = None  # type: ignore[assignment] # it changes


def _full(counts: Counts) -> dict[Key, list[float]]:
    return {key: values for key, values in counts.values.items() if any(values)}


ACQUIRED: Final = ("acquire_duration_seconds", OTHER, "acquired")
RELEASED: Final = ("hold_duration_seconds", OTHER, "released")
COMMITTED: Final = ("commit_duration_seconds", "volume")


class Tally:
    """What one process counts about one volume, over all its sessions there. Thread-safe.

    ``roots``: keys of the configured subtrees, by the name that the label ``scope`` shows.
    """

    def __init__(self, roots: Mapping[str, str] | None = None) -> None:
        self._roots = dict(roots or {})
        self.rooted = bool(roots)
        """If not, all leases are of one scope, and the three functions below serve."""
        self._queue: deque[Note] = deque()
        self.note = self._queue.append
        """``note((key, value))``. Atomic, takes no lock."""
        self._hot: tuple[tuple[Key, deque[float]], ...] = (
            (ACQUIRED, deque()),
            (RELEASED, deque()),
            (COMMITTED, deque()),
        )
        # What each lease pays: numbers alone, which give the garbage collector nothing to do.
        self.acquired_in = self._hot[0][1].append
        self.released_after = self._hot[1][1].append
        self.committed_in = self._hot[2][1].append
        self._counts = Counts()
        self._lock = threading.Lock()
        self.reported = Counts()
        """What sessions of this process have left on the volume, so far."""

    @property
    def scopes(self) -> tuple[str, ...]:
        return (*self._roots, OTHER)

    def scope(self, claims: Iterable[Claim]) -> str:
        """The first configured root that holds the first of the paths."""
        if self._roots:
            for claim in claims:
                return scope_of(self._roots, claim.key)
        return OTHER

    def acquired(self, claims: Iterable[Claim]) -> Key:
        return ("acquire_duration_seconds", self.scope(claims), "acquired")

    def ended(self, claims: Iterable[Claim], loss: str, held_seconds: float) -> None:
        """A lease is over: released, or lost for that reason."""
        scope, outcome = self.scope(claims), "released"
        if loss:
            outcome = ending_of(loss)
            self.note((("lost_total", scope, reason_of(loss)), 1.0))
        self.note((("hold_duration_seconds", scope, outcome), held_seconds))

    def count(self, name: str, *labels: str, value: float = 1.0) -> None:
        self.note(((name, *labels), value))

    def counts(self) -> Counts:
        """All that was counted up to now."""
        with self._lock:
            for key, numbers in self._hot:
                for _ in range(len(numbers)):
                    self._counts.note(key, numbers.popleft())
            for _ in range(len(self._queue)):
                self._counts.note(*self._queue.popleft())
            # Each commit is noted once, with its time; its number follows from that.
            if COMMITTED in self._counts.values:
                commits = sum(self._counts.values[COMMITTED][:-1])
                self._counts.values["log_commits_total",] = [commits]
            return self._counts.copy()


def keys_of(roots: Iterable[str]) -> dict[str, str]:
    """The configured roots as ``Tally`` takes them; ``.`` is the whole volume."""
    return {name: "" if name == "." else name for name in roots}


def scope_of(roots: Mapping[str, str], key: str) -> str:
    """The name of the innermost root that holds the path of that key, else ``other``."""
    best, found = -1, OTHER
    for name, root in roots.items():
        inside = not root or key == root or key.startswith(root + "/")
        if inside and len(root) > best:
            best, found = len(root), name
    return found


def note_beat(tally: Tally, seconds: float, counted: bool, lost: str) -> None:
    """A heartbeat came back, or was given up."""
    outcome = "lost" if lost else "ok" if counted else "failed"
    tally.note((("renew_duration_seconds", outcome), seconds))
    if not counted:
        reason = "unanswered" if not lost else "late" if reason_of(lost) == "deadline" else "lost"
        tally.note((("renew_failures_total", reason), 1.0))


def reason_of(loss: str) -> str:
    """Of which of ``LOSSES`` the words of a loss speak."""
    for reason, words in _WORDS.items():
        if any(word in loss for word in words):
            return reason
    return "other"


_WORDS: Final = {
    "expired": ("ended it",),
    "deadline": ("no beat was answered",),
    "paused": ("suspended", "clock jumped", "restored from an image"),
    "broken": ("broken",),
    "log": ("log", "identity", "deleted", "forgot"),
}


def ending_of(loss: str) -> str:
    """Of which of ``ENDINGS``."""
    reason = reason_of(loss)
    return reason if reason in ENDINGS else "lost"
