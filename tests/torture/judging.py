"""The judge: a recorded history, told to the checkers of the simulator as if they had been there.

All processes of a test bed share one clock, so what they wrote down can be put into one order. The
checkers are the simulator's; what stands here is what they look at (a fleet, its workers, sessions
and leases), made of notes, and for two of them what a history can't tell or must not promise.

A judge sees less than a simulator. Beliefs are noted as too short by up to a tenth of a second for
who was killed, and what is visible only where somebody looked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

from tests.simulation.checkers import Checker, Violation
from tests.simulation.checkers.deadlocks import Deadlocks
from tests.simulation.checkers.exclusion import Exclusion
from tests.simulation.checkers.latch import Latch
from tests.simulation.checkers.one_log import OneLog
from tests.simulation.checkers.orphans import Orphans
from tests.simulation.checkers.progress import Progress
from tests.simulation.checkers.publishes import Publishes
from tests.simulation.checkers.queue import Queue
from tests.simulation.checkers.tokens import Tokens
from tests.simulation.checkers.uptodate import UpToDate
from tests.simulation.fleet import Fleet
from tests.simulation.held import Held, WatchedSession
from tests.simulation.mover import Moved
from tests.simulation.on_redis.checkers.publishes import RedisPublishes
from tests.simulation.process import Process
from tests.simulation.setup import Setup
from tests.simulation.worker import Worker
from tests.simulation.world import World
from volumelease.core.table import Table
from volumelease.errors import LeaseDeadlock
from volumelease.model import Claim, Draft
from volumelease.wire.entries import decode_entry
from volumelease.wire.snapshots import decode_header, decode_snapshot, digest_of

from .notes import Note, read

UNSEEN: Final = 1 << 62
"""What is public at a place where nobody looked: no publish is newer."""

MOST: Final = 50
"""Violations that are told; the first is what counts."""


class Terms(NamedTuple):
    """What a history was made under. ``troubles``: in the simulator's words. ``within``: seconds
    after the last fault in which everybody must have had a lease."""

    authority: str
    ttl: float
    troubles: tuple[str, ...]
    within: float


# ---- what checkers look at


class ToldSession:
    """A session, as far as its process told."""

    def __init__(self, name: str, worker: ToldWorker, identity: str) -> None:
        self.name = name
        self.worker = worker
        self.log = identity
        self.identity = SimpleNamespace(id=identity)
        self.replica: Any = SimpleNamespace(table=Table(), next_index=0)
        self.requests = SimpleNamespace(wanted={})
        self.knew_at = -1e9
        self.began = False
        self.dead = False
        self.losses: dict[int, str] = {}

    @property
    def log_deleted(self) -> bool:
        return self.identity.id in self.worker.fleet.deleted

    def alive(self) -> bool:
        return not self.dead

    def loss_of(self, token: int) -> str:
        return self.losses.get(token, "")


@dataclass(slots=True)
class ToldLease(Held):
    """A lease, believed in for as long as its hand saw that it was not lost."""

    until: float = 0.0
    world: Any = None

    def believed(self) -> bool:
        return not self.ended and bool(self.world.now <= self.until)


@dataclass(eq=False, slots=True)
class ToldWorker:
    """A hand, one incarnation, or the process that hosts sessions for one."""

    fleet: Any
    name: str
    process: Any
    session: Any = None
    held: list[ToldLease] = field(default_factory=list)
    finale_done: bool = True
    """Until it begins to ask for leases: who only hosts sessions wants none."""
    lease: ToldLease | None = None
    """The one it has now, or had last."""


class ToldFleet(Fleet):
    """What a history tells about."""

    def __init__(self, terms: Terms, checkers: list[type[Checker]]) -> None:
        # Not the simulator's: that would simulate one.
        self.terms = terms
        self.setup = Setup(
            seed=0,
            ttl=terms.ttl,
            workers=0,
            hosts=3,
            trouble_seconds=0.0,
            segment_entries=256,
            drift=0.0,
            cache_seconds=1.0,
            ready=True,
            hurry=1.0,
            intensity=tuple((name, 1.0) for name in terms.troubles),
            authority=terms.authority,
        )
        self.world = World(0)
        self.moved = Moved()
        self.workers: list[Worker] = []
        self.state_lost_at = -1e9
        self.deletions = 0
        self.deleted: dict[str, float] = {}
        """The logs that somebody deleted, and when that began or ended last."""
        self.seen: dict[str, str] = {}
        """What is public at the places that somebody looks at right now."""
        self.violations: list[str] = []
        self.counts_of: Counter[str] = Counter()
        self.told: dict[str, ToldSession] = {}
        self.lived: dict[str, float] = {}
        """When each session was last heard of."""
        self.checkers = [checker(self) for checker in checkers]

    def tell(self, what: str, *about: Any) -> None:
        self.counts_of[what] += 1
        for checker in self.checkers:
            self.judged(getattr(checker, what), *about)

    def judged(self, hearing: Callable[..., object], *about: Any) -> None:
        try:
            hearing(*about)
        except Violation as error:
            if len(self.violations) < MOST:
                self.violations.append(f"at {self.world.now:.3f}: {error}")

    def session_of(self, name: str) -> ToldSession | None:
        return self.told.get(name)

    def counts(self, session: WatchedSession) -> bool:
        """A tree is deleted name by name: an index of the log is free again while others go on
        reading what stood there. Two can read two records at it, and both have an effect until
        their next beat."""
        return super().counts(session) and not session.log_deleted

    def knows(self, session: WatchedSession) -> bool:
        return super().knows(session) and not session.log_deleted

    def notices_by(self, worker: Worker) -> float:
        lease = cast("ToldWorker", worker).lease
        identity = "" if lease is None else lease.session.identity.id
        deleted = self.deleted.get(identity, -1e9)
        return max(super().notices_by(worker), deleted + self.setup.ttl * 1.05)

    @property
    def bound(self) -> float:
        return self.terms.within


# ---- the checkers, where a history is not a simulation


class ToldPublishes(Publishes):
    """Knows what is visible only where somebody looked, under a lease."""

    fleet: ToldFleet

    def _see(self, place: str) -> int:
        return super()._see(place) if place in self.fleet.seen else UNSEEN

    def _unique_at(self, place: str) -> str:
        return self.fleet.seen[place]

    def _walk(self, path: str) -> None:
        return None


class ToldRedisPublishes(RedisPublishes):
    fleet: ToldFleet

    def _see(self, place: str) -> int:
        return super()._see(place) if place in self.fleet.seen else UNSEEN

    def _unique_at(self, place: str) -> str:
        return self.fleet.seen[place]

    def _walk(self, path: str) -> None:
        return None


class ToldProgress(Progress):
    """A machine that is too busy may cost a session, and that is no breach: it is told. So a dead
    session is a stranger in the table only when it had the time to be ended."""

    fleet: ToldFleet

    def finished(self) -> None:
        late = self.fleet.world.now - 2 * self.fleet.setup.ttl - 1.0
        for worker in self.fleet.alive():
            session = worker.session
            if session is None or not session.alive():
                continue
            strangers = {
                name
                for name in session.replica.table.sessions
                if self.fleet.lived.get(name, 0.0) < late
            }
            if strangers:
                raise self.violation(f"dead sessions {sorted(strangers)} were never ended")


CHECKERS: Final[dict[str, list[type[Checker]]]] = {
    "volume": [
        OneLog,
        Queue,
        Exclusion,
        ToldPublishes,
        Tokens,
        Deadlocks,
        Latch,
        UpToDate,
        Orphans,
        ToldProgress,
    ],
    "redis": [Exclusion, ToldRedisPublishes, Tokens, Deadlocks, Latch, ToldProgress],
}


# ---- telling


@dataclass(slots=True)
class Verdict:
    """``violations`` is empty if every checker was content."""

    violations: list[str]
    leases: int
    losses: int
    publishes: int
    entries: int
    refusals: Counter[str]
    unsettled: float
    """Seconds from the last fault until the last hand had a lease."""

    def __str__(self) -> str:
        refused = ", ".join(f"{count} {kind}" for kind, count in self.refusals.most_common())
        return "\n".join(
            [
                f"{self.leases} leases, {self.publishes} publishes, {self.losses} told as lost, "
                f"{self.entries} entries of a log heard",
                f"refused: {refused or 'nothing'}",
                f"everybody had a lease {self.unsettled:.1f} s after the last fault",
                f"{len(self.violations)} violations",
                *self.violations[:10],
            ]
        )


class Teller:
    """Tells one history. ``notes``: of each process, in the order in which they were written."""

    def __init__(self, terms: Terms, notes: dict[str, list[Note]]) -> None:
        self.terms = terms
        self.fleet = ToldFleet(terms, CHECKERS[terms.authority])
        self.workers: dict[str, ToldWorker] = {}
        self._ends = {name: _beliefs(lines) for name, lines in notes.items()}
        self._calm: float | None = None
        self._first_after: dict[str, float] = {}
        self._refusals: Counter[str] = Counter()
        self._going: set[str] = set()
        lines = [
            (line["at"], number, name, line) for number, (name, line) in enumerate(_all(notes))
        ]
        self._lines = sorted(lines, key=lambda line: line[:2])
        self._settled_at = next(
            (at for at, _, _, line in self._lines if line["kind"] == "settled"), None
        )

    def tell(self) -> Verdict:
        fleet = self.fleet
        for at, _, name, line in self._lines:
            fleet.world.at(at, lambda n=name, one=line: self._tell(n, one))  # type: ignore[misc]
        over = False
        while not over:
            try:
                fleet.world.run(1e18, lambda: False)
                over = True
            except Violation as error:
                fleet.violations.append(f"at {fleet.world.now:.3f}: {error}")
        after = self._first_after.values()
        counts = fleet.counts_of
        return Verdict(
            violations=fleet.violations,
            leases=counts["granted"],
            losses=self._refusals.pop("lost", 0),
            publishes=counts["published"],
            entries=counts["applied"],
            refusals=self._refusals,
            unsettled=max(after, default=0.0) - (self._settled_at or 0.0) if after else -1.0,
        )

    def _tell(self, name: str, line: Note) -> None:
        hearing = getattr(self, f"_{line['kind']}", None)
        if hearing is not None:
            hearing(name, line)

    def _worker(self, name: str) -> ToldWorker:
        worker = self.workers.get(name)
        if worker is None:
            worker = ToldWorker(
                self.fleet,
                name,
                SimpleNamespace(name=name, killed=False, running=True, host=_Host()),
            )
            worker.process.facts = worker.process
            self.workers[name] = worker
            self.fleet.workers.append(cast("Worker", worker))
        return worker

    # ---- what sessions told

    def _session(self, name: str, line: Note) -> ToldSession:
        found = self.fleet.told.get(line["session"])
        if found is None:
            found = ToldSession(line["session"], self._worker(name), line["identity"])
            self.fleet.told[found.name] = found
        found.log = line["log"]
        self.fleet.lived[found.name] = self.fleet.world.now
        return found

    def _loaded(self, name: str, line: Note) -> None:
        session = self._session(name, line)
        header = decode_header(line["snapshot"][0])
        assert header is not None
        table = decode_snapshot(header, line["snapshot"][1:])
        assert table is not None
        session.replica = SimpleNamespace(table=table, next_index=line["next"])
        session.began = True
        self.fleet.tell("loaded", session)

    def _applied(self, name: str, line: Note) -> None:
        session = self._session(name, line)
        entry = decode_entry(line["entry"])
        assert entry is not None
        index, replica = line["index"], session.replica
        replica.next_index = index
        outcome = replica.table.apply(index, entry)
        if outcome.void != line["void"]:
            self._differs(session, index, f"{line['void']!r} there, {outcome.void!r} here")
        if "digest" in line and digest_of(replica.table) != line["digest"]:
            self._differs(session, index, "another table")
        self.fleet.tell("applied", session, index, entry, outcome)
        replica.next_index = index + 1

    def _differs(self, session: ToldSession, index: int, how: str) -> None:
        self.fleet.violations.append(
            f"at {self.fleet.world.now:.3f}: retold: entry {index} of {session.name}: {how}"
        )

    def _beaten(self, name: str, line: Note) -> None:
        session = self._session(name, line)
        session.knew_at = line["knew"]
        self.fleet.tell("beaten", session)

    def _publishing(self, name: str, line: Note) -> None:
        self._about_draft("publishing", name, line)

    def _replacing(self, name: str, line: Note) -> None:
        self._about_draft("replacing", name, line)

    def _about_draft(self, what: str, name: str, line: Note) -> None:
        session, token = self._session(name, line), int(line["token"])
        session.requests.wanted[token] = SimpleNamespace(number=line["number"])
        before, session.losses[token] = session.losses.get(token, ""), line["loss"]
        place = line["place"]
        draft = Draft(token, Claim(place, place), line["unique"], "")
        self.fleet.tell(what, session, draft)
        session.losses[token] = before

    def _checked(self, name: str, line: Note) -> None:
        session = self._session(name, line)
        standings = [word for n in line["numbers"] for word in (str(n).encode(), b"granted")]
        call = SimpleNamespace(script="look", session=session.name)
        self.fleet.tell("served", call, [b"look", b"", standings])

    # ---- what hands told

    def _begins(self, name: str, line: Note) -> None:
        del line
        self._worker(name).finale_done = False

    def _asked(self, name: str, line: Note) -> None:
        del line
        self._worker(name).lease = None

    def _granted(self, name: str, line: Note) -> None:
        worker, token = self._worker(name), int(line["token"])
        session = self.fleet.told.get(line["session"])
        if session is None:  # one that only its hand knows
            session = ToldSession(line["session"], worker, line["session"])
            self.fleet.told[session.name] = session
        self.fleet.lived[session.name] = self.fleet.world.now
        worker.session = session
        lease = ToldLease(
            worker=cast("Worker", worker),
            session=cast("WatchedSession", session),
            token=token,
            claims=tuple(Claim(path, path) for path in line["paths"]),
            exclusive=line["exclusive"],
            owner=name,
            since=line["at"],
            until=self._ends[name].get(line["at"]) or line["at"],
            world=self.fleet.world,
        )
        worker.lease = lease
        worker.held.append(lease)
        if self._calm is not None:
            self._first_after.setdefault(name, line["at"])
            worker.finale_done = True
        self.fleet.tell("granted", lease)
        self.fleet.world.at(lease.until, lambda: None)

    def _changed(self, name: str, line: Note) -> None:
        del line
        lease = self._worker(name).lease
        if lease is not None:
            lease.exclusive = False
            self.fleet.tell("changed", lease)

    def _good(self, name: str, line: Note) -> None:
        del line
        worker = self._worker(name)
        if worker.session is not None:
            self.fleet.lived[worker.session.name] = self.fleet.world.now
            worker.session.dead = False
            self.fleet.tell("looked", worker)

    def _saw(self, name: str, line: Note) -> None:
        worker = self._worker(name)
        lease = worker.lease
        if lease is None:
            return
        self.fleet.seen = {line["place"]: line["seen"]}
        for checker in self.fleet.checkers:
            if isinstance(checker, Publishes):
                self.fleet.judged(checker.looked, worker)
                if isinstance(checker, ToldPublishes):
                    self.fleet.judged(checker._complete, lease, "when it was seen")
        if line["published"]:
            self.fleet.tell("published", lease, line["place"], line["published"])
        self.fleet.seen = {}

    def _read(self, name: str, line: Note) -> None:
        self.fleet.tell("read", self._worker(name), line["place"], line["whole"])

    def _noticed(self, name: str, line: Note) -> None:
        lease = self._worker(name).lease
        if lease is not None:
            told = cast("ToldSession", lease.session)
            told.losses[lease.token] = "told as lost"
            # By the page of a daemon a hand may believe less than that daemon, and attach again.
            told.dead = told.dead or (told.worker.name == name and not line["alive"])
            self.fleet.tell("looked", lease.worker)
            self._end(lease)

    def _ended(self, name: str, line: Note) -> None:
        del line
        lease = self._worker(name).lease
        if lease is not None:
            self._end(lease)

    def _end(self, lease: ToldLease) -> None:
        if not lease.ended:
            lease.ended = True
            lease.worker.held.remove(lease)
            self.fleet.tell("ended", lease)

    def _lost(self, name: str, line: Note) -> None:
        del line
        self._refusals["lost"] += 1
        self._left(name)

    def _released(self, name: str, line: Note) -> None:
        del line
        lease = self._worker(name).lease
        if lease is not None:
            self._end(lease)
            self.fleet.tell("released", lease)

    def _refused(self, name: str, line: Note) -> None:
        self._refusals[line["error"]] += 1
        self._left(name)

    def _left(self, name: str) -> None:
        worker = self._worker(name)
        if worker.lease is not None:
            self._end(worker.lease)
        if worker.session is not None:
            self.fleet.tell("unsure", worker.session.name, name)

    def _deadlock(self, name: str, line: Note) -> None:
        worker = self._worker(name)
        self._refusals["LeaseDeadlock"] += 1
        if worker.session is not None:
            error = LeaseDeadlock(line["what"])
            wish = SimpleNamespace(
                session=worker.session,
                question=SimpleNamespace(owner=name),
                result=error,
                worker=worker,
            )
            self.fleet.tell("answered", wish)

    # ---- what was done to them

    def _killed(self, name: str, line: Note) -> None:
        del name
        worker = self._worker(line["who"])
        worker.process.killed, worker.process.running = True, False
        if worker.lease is not None:
            self._end(worker.lease)
        self.fleet.tell("killed", worker)

    def _stopped(self, name: str, line: Note) -> None:
        del name
        self._worker(line["who"]).process.running = False

    def _continued(self, name: str, line: Note) -> None:
        del name
        process = self._worker(line["who"]).process
        process.running = True
        self.fleet.tell("resumed", cast("Process", process))

    def _deleted(self, name: str, line: Note) -> None:
        """Noted when it begins and when it ended: between, a new log may have been founded."""
        del name, line
        self.fleet.deletions += 1
        if self.fleet.deletions % 2:
            self._going = {session.identity.id for session in self.fleet.told.values()}
        for identity in self._going:
            self.fleet.deleted[identity] = self.fleet.world.now

    def _settled(self, name: str, line: Note) -> None:
        del name, line
        self._calm = self.fleet.world.now
        self.fleet.tell("settled")

    def _progressed(self, name: str, line: Note) -> None:
        del name, line
        self.fleet.tell("progressed")

    def _finished(self, name: str, line: Note) -> None:
        del name, line
        for session in self.fleet.told.values():  # who lives was heard of since
            heard = self.fleet.lived.get(session.name, 0.0)
            session.dead = session.dead or heard < self.fleet.world.now - self.terms.ttl
        self.fleet.tell("finished")


class _Host:
    """Of a told process; nothing was frozen."""

    thawed_at = -1e9


def _all(notes: dict[str, list[Note]]) -> Iterable[tuple[str, Note]]:
    for name, lines in notes.items():
        for line in lines:
            yield name, line


def _beliefs(lines: list[Note]) -> dict[float, float]:
    """Until when each lease was believed in, by when it was granted."""
    found: dict[float, float] = {}
    since: float | None = None
    for line in lines:
        if line["kind"] == "granted":
            since = line["at"]
            found[since] = since
        elif line["kind"] == "asked":
            since = None
        elif since is not None and line["kind"] in ("good", "ended"):
            found[since] = max(found[since], line["at"])
    return found


def judge(terms: Terms, folder: Path) -> Verdict:
    """Judge what is written down in ``folder``."""
    notes: dict[str, list[Note]] = defaultdict(list)
    for path in sorted(folder.glob("*.notes")):
        notes[path.stem] = list(read(path))
    return Teller(terms, notes).tell()
