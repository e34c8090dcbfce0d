"""Detection on one host: hears local writes, scans for all others, and tells what no lease covers.

One thread, and whatever hangs on the volume hangs that thread and nothing else. It takes no part in
leases: it reads their history beside them, and writes records of violations.

Limit: only below the configured roots. Needs watchdog (the extra ``watch``) to know a local write
from another; without it all are ``unknown``.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from volumelease.authorities.volume.layout import CONTROL, Layout
from volumelease.clock import Clock
from volumelease.errors import LeaseError
from volumelease.host import ProcessFacts
from volumelease.tallies import Key, Tally, keys_of, scope_of

from .events import MOST_QUEUED, Event
from .histories import History, LogHistory
from .judging import Judging, Suspicion
from .scanner import Change, Scanner, Seen, seen_at
from .violations import Violation, forget_old, record

if TYPE_CHECKING:
    from .notifier import Notifier

LOOK_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = (30.0, 60.0)
"""The pause from one sweep to the next is drawn from this: a fleet must not sweep in step."""

SHARE: Final = 0.25
"""Of one thread's time that scanning may take while it has work: the volume has others to serve."""

TICK_SECONDS: Final = 0.25
LOUDEST: Final = 1000
"""Violations told one by one in a minute; what is beyond is only counted."""

logger = logging.getLogger("volumelease.violations")


class Detector:
    """``roots`` as in the settings. ``start`` returns at once; ``close`` ends it. ``tally`` gets
    the counts; ``told`` is called with each violation, in the detector's thread. ``history`` says
    what was leased, when; left out: the log of the volume."""

    def __init__(
        self,
        layout: Layout,
        roots: tuple[str, ...],
        clock: Clock,
        process: ProcessFacts,
        tally: Tally,
        told: Callable[[Violation], None] = lambda _: None,
        sweep_seconds: tuple[float, float] = SWEEP_SECONDS,
        history: History | None = None,
    ) -> None:
        self._layout = layout
        self._roots = keys_of(roots)
        self._clock = clock
        self._host = process.hostname
        self._tally = tally
        self._told = told
        self._sweep_seconds = sweep_seconds
        self._history = history or LogHistory(layout, clock)
        self._judging = Judging(self._history.spans, process.boot_id)
        self._scanners = [self._scanner(path) for path in _outermost(self._roots)]
        self._events: deque[Event] = deque()
        self._overflowed = False
        self._rescan = False
        self._heard_until = clock.monotonic()
        self._notifier: Notifier | None = None
        self._ended = threading.Event()
        self._loud: deque[float] = deque()
        self.overflows = 0
        self.last_scan: dict[str, float] = {}
        self._deaf = ""
        self._steps = self._scans()
        self._resume_at = 0.0
        self._read_at = 0.0
        self.trouble = ""
        """Why it sees nothing at the moment, in words, or ""."""

    def _scanner(self, path: str) -> Scanner:
        root = self._layout.root.rstrip("/")
        return Scanner(root, path, self._clock.monotonic, self._watch)

    def start(self) -> None:
        threading.Thread(target=self._run, name="volumelease-detect", daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        if self._notifier is not None:
            self._notifier.close()

    def gauges(self) -> dict[Key, float]:
        """Coverage, as metrics have it."""
        found: dict[Key, float] = {
            ("watched_directories",): float(sum(one.directories for one in self._scanners)),
            ("watches",): float(self._notifier.watches if self._notifier is not None else 0),
        }
        for kind, at in self.last_scan.items():
            found["last_scan_timestamp_seconds", kind] = at
        return found

    @property
    def ready(self) -> bool:
        """Whether it knows what there was, so that it sees what changes."""
        return all(scanner.learned for scanner in self._scanners)

    # ---- its thread

    def _run(self) -> None:
        try:
            self._hear()
            while not self._ended.is_set():
                self._once()
        except BaseException as error:
            self.trouble = f"detection failed: {error!r}"
            logger.exception("detection failed")

    def _once(self) -> None:
        try:
            if not self._read_at:
                self._read_history()  # before anything is looked at: who holds something already?
            self._take_events()
            if self._clock.monotonic() >= self._resume_at:
                pause = next(self._steps)
                self._resume_at = self._clock.monotonic() + pause
            self._judge()
            self.trouble = self._deaf
        except (LeaseError, OSError) as error:
            self.trouble = str(error)
            self._steps = self._scans()  # one that raised is over
            self._resume_at = self._clock.monotonic() + 1.0
        left = self._resume_at - self._clock.monotonic()
        self._ended.wait(max(0.01, min(TICK_SECONDS, left)))

    def _hear(self) -> None:
        try:
            from .notifier import Notifier
        except ImportError as error:
            self.trouble = self._deaf = f"local writes are not heard: {error}"
            return
        control = f"{self._layout.root.rstrip('/')}/{CONTROL}"
        try:
            self._notifier = Notifier(self._on_event, self._on_overflow, control)
        except OSError as error:
            self._notifier = None
            self.trouble = self._deaf = f"local writes are not heard: {error}"

    def _on_event(self, event: Event) -> None:
        if len(self._events) < MOST_QUEUED:
            self._events.append(event)
        else:
            self._overflowed = True

    def _on_overflow(self) -> None:
        self._overflowed = True

    def _take_events(self) -> None:
        now = self._clock.monotonic()
        if self._overflowed:
            self._overflowed = False
            self._rescan = True
            self.overflows += 1
            self._tally.count("watch_overflows_total")
            self._judging.blind(self._heard_until - LOOK_SECONDS, now + LOOK_SECONDS)
        base = len(self._layout.root.rstrip("/")) + 1
        for _ in range(len(self._events)):
            event = self._events.popleft()
            at = event.path[base:]
            path = unicodedata.normalize("NFC", at)
            if path and any(_inside(scanner, path) for scanner in self._scanners):
                self._judging.heard(path, at, event, self._known(path, at))
        self._heard_until = now

    def _known(self, path: str, at: str) -> Seen | None:
        for scanner in self._scanners:
            if _inside(scanner, path):
                return scanner.known(at)
        return None

    # ---- scanning

    def _scans(self) -> Iterator[float]:
        """Scans for ever, a piece at a time; yields how long to pause after each piece."""
        next_sweep = self._clock.monotonic()
        while True:
            began = self._clock.monotonic()
            self._add_watches()
            sweep = began >= next_sweep or self._rescan
            if sweep:
                self._rescan = False
                low, high = self._sweep_seconds
                next_sweep = began + low + random.random() * (high - low)
            yield from self._scan("everything" if sweep else "known")
            yield max(0.0, LOOK_SECONDS - (self._clock.monotonic() - began))

    def _scan(self, kind: str) -> Iterator[float]:
        worked, piece = 0.0, 0.0
        for scanner in self._scanners:
            steps = scanner.sweep() if kind == "everything" else scanner.look()
            while True:
                began = self._clock.monotonic()
                changes = next(steps, None)
                spent = self._clock.monotonic() - began
                worked, piece = worked + spent, piece + spent
                if changes is None:
                    break
                for change in changes:
                    named = change._replace(path=unicodedata.normalize("NFC", change.path))
                    self._judging.scanned(named, change.path, self._is_watched(scanner, change))
                if piece > TICK_SECONDS * SHARE:
                    yield piece * (1 - SHARE) / SHARE
                    piece = 0.0
        self._tally.note((("scan_duration_seconds", kind), worked))
        self.last_scan[kind] = self._clock.wall()

    def _is_watched(self, scanner: Scanner, change: Change) -> bool:
        """Whether a local write there would have been heard: its directory was watched all the
        time; of one that came into being meanwhile, the one above."""
        if self._notifier is None:
            return False
        path = change.path
        while path != scanner.path and path:
            path = path.rpartition("/")[0]
            if self._notifier.since(self._absolute(path)) <= change.since:
                return True
            if scanner.found_at(path) <= change.since:
                return False
        return False

    def _add_watches(self) -> None:
        if self._notifier is not None:
            for scanner in self._scanners:
                self._notifier.watch([self._absolute(path) for path in scanner.paths()])

    def _watch(self, path: str) -> None:
        if self._notifier is not None:
            self._notifier.watch([self._absolute(path)])

    def _absolute(self, path: str) -> str:
        base = self._layout.root.rstrip("/")
        return f"{base}/{path}" if path else base

    # ---- verdicts

    def _judge(self) -> None:
        began = self._clock.monotonic()
        ripe = self._judging.ripe(began)
        if not ripe and began - self._read_at < self._history.read_seconds:
            return
        self._read_history()  # before any is taken: if it can't be read now, they wait
        for one in self._judging.due(began):
            if not self._judging.late_local(one) and not self._judging.covered(one):
                self._accuse(one, began)

    def _read_history(self) -> None:
        began = self._clock.monotonic()
        self._history.read()
        self._read_at = began

    def _accuse(self, one: Suspicion, now: float) -> None:
        after = seen_at(f"{self._layout.root.rstrip('/')}/{one.at}")
        if not one.sure and one.before is not None and after == one.before:
            return  # opened for writing, and left as it was
        if self._judging.told_lately(one, now):
            return
        violation = Violation(
            path=one.path,
            what=one.what,
            origin=self._judging.origin_of(one),
            scope=scope_of(self._roots, one.path),
            seen_at=round(self._clock.wall(), 3),
            host=self._host,
            after="" if after is None else str(after),
        )
        self._tell(violation, now)

    def _tell(self, violation: Violation, now: float) -> None:
        while self._loud and self._loud[0] < now - 60.0:
            self._loud.popleft()
        if len(self._loud) < LOUDEST:
            self._loud.append(now)
            with suppress(OSError):  # a record that can't be written is still told and counted
                if not record(self._layout, violation):
                    return  # another host found it first
            logger.warning("%s", json.dumps(violation.as_document()))
        self._tally.count("violations_total", violation.scope, violation.origin)
        self._told(violation)
        if len(self._loud) == 1:
            forget_old(self._layout, self._clock.wall())


def _inside(scanner: Scanner, path: str) -> bool:
    return not scanner.path or path == scanner.path or path.startswith(scanner.path + "/")


def _outermost(roots: dict[str, str]) -> list[str]:
    """Without those inside another one: nothing is looked at twice."""
    paths = sorted(set(roots.values()))
    return [
        path
        for path in paths
        if not any(o != path and (not o or path.startswith(o + "/")) for o in paths)
    ]
