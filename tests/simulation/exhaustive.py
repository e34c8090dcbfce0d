"""A small scope, explored completely: two sessions (or three), two paths, one segment.

Chance finds what is likely; here nothing is left to chance. Every order in which the effects of
all sessions can be executed is followed, and every commit can be answered, lost after it was
applied, sent twice, refused, or land at any later moment, up to a number of faults. Generators
can't be copied, so a state is reached again by repeating the choices that led to it. A session's
state follows from the answers it was given, so two ways that gave the same answers and left the
same log are one state.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from volumelease import effects
from volumelease.authorities.volume.committer import Committer
from volumelease.authorities.volume.layout import FIRST_SEGMENT, Layout
from volumelease.authorities.volume.publishing import Publishing
from volumelease.authorities.volume.replica import Replica
from volumelease.authorities.volume.requests import Requests
from volumelease.clock import Reading
from volumelease.core import records
from volumelease.core.conflicts import overlaps
from volumelease.core.records import Entry, SessionFacts
from volumelease.core.table import Outcome, Table
from volumelease.effects import Steps
from volumelease.host import ProcessFacts
from volumelease.model import Acquire, Claim, GiveBack, Granted, Inspect, Release, Waiting
from volumelease.wire.snapshots import digest_of, encode_snapshot

from .checkers import Violation
from .volume import failure

OUTCOMES: Final = ("done", "resent", "lost", "refused", "late", "interrupted")
"""How a commit can go; all but the first cost a fault. ``interrupted``: applied, and its caller
gets Ctrl-C instead of the answer; once, for what is interrupted while it gives back is given back
by a beat, and nobody beats here."""


class Pause(NamedTuple):
    """The holder uses its lease."""


class News(NamedTuple):
    """Wait until the log has grown past what the session knows."""


class _Turn:
    def free(self) -> bool:
        return True

    def leave(self) -> None:
        return


class _Clock:
    """Stands still: deadlines are explored elsewhere."""

    def monotonic(self) -> float:
        return 0.0

    def boottime(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 0.0

    def read(self) -> Reading:
        return Reading(0.0, 0.0, 0.0)


def _no_turnover() -> Steps[None]:
    raise AssertionError("the scope ends before its segment")
    yield


def _commits(asked: Any) -> bool:
    """Whether it is an entry of the log; other symlinks lie where nobody else looks."""
    return isinstance(asked, effects.Symlink) and asked.at is not None


class Scope(NamedTuple):
    """What is explored: what each session asks for, and how many faults there may be."""

    asks: tuple[tuple[str, bool], ...]
    faults: int
    publishes: bool = False
    """Each holder of an exclusive lease publishes under it, and may die at any moment."""


class Actor:
    """One session: its replica, its requests, and the script that runs."""

    def __init__(self, name: str, path: str, exclusive: bool) -> None:
        self.name = name
        self.dead = False
        self.question = Acquire((Claim(path, path),), exclusive, "owner")
        self.replica = Replica(Layout.first("/v", "0"), _Clock(), self)
        self.committer = Committer(
            self.replica, name, _Clock(), _Turn(), lambda: True, _no_turnover
        )
        facts = SessionFacts(ProcessFacts("", "", 0, 0, 0))
        self.publishing = Publishing(
            name, facts, self.replica, self.committer, _Clock(), lambda: "0", self._loss_of
        )
        self.requests = Requests(name, self.replica, self.committer, self.publishing, lambda: "")
        self.believes = False
        self.done = False
        self.interrupted = False
        self.applied: list[tuple[int, Entry, Outcome]] = []
        self.asked: Any = None
        self.answers: tuple[str, ...] = ()
        self.script = self._script()

    def _loss_of(self, token: int) -> str:
        return self.requests.loss_of(token)

    def entry_applied(self, index: int, entry: Entry, outcome: Outcome) -> None:
        self.applied.append((index, entry, outcome))
        if entry.author == self.name:
            self.committer.landed(index, entry, outcome)

    def table_loaded(self) -> None:
        self.committer.loaded()

    def _script(self) -> Iterator[Any]:
        try:
            answer: Any = yield from self.requests.ask(self.question)
            while isinstance(answer, Waiting):
                yield News()
                yield from self._look()
                answer = yield from self.requests.ask(Inspect(answer.token))
        except KeyboardInterrupt:
            yield from self.requests.ask(GiveBack(self.question))
            return
        assert isinstance(answer, Granted), answer
        self.believes = True
        yield from self._use(answer.token)
        self.believes = False
        yield from self._release(answer.token)

    def _look(self) -> Iterator[Any]:
        yield from self.replica.catch_up()

    def _use(self, token: int) -> Iterator[Any]:
        """And read the log meanwhile, as who is told that somebody waits."""
        yield Pause()
        yield from self._look()

    def _release(self, token: int) -> Steps[None]:
        try:
            yield from self.requests.ask(Release(token))
        except KeyboardInterrupt:
            yield from self.requests.give_back_unwanted()

    def step(self, answer: Any, error: BaseException | None) -> None:
        self.answers = (*self.answers, f"{answer!r}{error!r}")
        try:
            self.asked = (
                self.script.send(answer) if error is None else self.script.throw(error)  # type: ignore[attr-defined]
            )
        except StopIteration:
            self.asked, self.done = None, True


@dataclass(slots=True)
class Universe:
    """One execution under way."""

    actors: list[Actor]
    links: dict[str, str]
    late: list[tuple[str, str]] = field(default_factory=list)
    faults: int = 0

    def choices(self, most_faults: int) -> list[tuple[int, str]]:
        """(actor, outcome) of each thing that can happen next; landing ops have actor -1."""
        found = [(-1, str(number)) for number in range(len(self.late))]
        for number, actor in enumerate(self.actors):
            asked = actor.asked
            if asked is None or (isinstance(asked, News) and not self._news(actor)):
                continue
            found.append((number, "done"))
            if _commits(asked) and self.faults < most_faults:
                outcomes = OUTCOMES[1:-1] if actor.interrupted else OUTCOMES[1:]
                found.extend((number, outcome) for outcome in outcomes)
        return found

    def _news(self, actor: Actor) -> bool:
        return str(actor.replica.next_index) in self.links

    def choose(self, choice: tuple[int, str]) -> None:
        number, outcome = choice
        if number < 0:
            name, target = self.late.pop(int(outcome))
            self.links.setdefault(name, target)
            return
        actor = self.actors[number]
        if outcome != "done":
            self.faults += 1
        try:
            answer = self._execute(actor.asked, outcome)
        except (OSError, KeyboardInterrupt) as error:
            actor.interrupted = actor.interrupted or isinstance(error, KeyboardInterrupt)
            actor.step(None, error)
        else:
            actor.step(answer, None)

    def _execute(self, asked: Any, outcome: str) -> Any:
        match asked:
            case effects.Symlink(target, name):
                return self._symlink(name, target, outcome)
            case effects.ReadLink(name):
                if name not in self.links:
                    raise failure(errno.ENOENT)
                return self.links[name]
            case effects.OpenDirectory():
                return "segment 0"
            case effects.ListDirectory():
                return [FIRST_SEGMENT]
            case effects.Sleep() | Pause() | News():
                return None
            case _:
                raise AssertionError(f"{asked} is outside the scope")

    def _symlink(self, name: str, target: str, outcome: str) -> None:
        taken = name in self.links
        if outcome == "refused":
            raise failure(errno.EIO)
        if outcome == "late":
            self.late.append((name, target))
            raise failure(errno.EIO)
        self.links.setdefault(name, target)
        if outcome == "interrupted":
            raise KeyboardInterrupt
        if outcome == "lost":
            raise failure(errno.EIO)
        if taken or outcome == "resent":
            raise failure(errno.EEXIST)

    def key(self) -> tuple[Any, ...]:
        """All that decides what can happen from here on."""
        return (
            tuple(sorted(self.links.items())),
            tuple(sorted(self.late)),
            tuple(actor.answers for actor in self.actors),
        )

    # ---- what must hold in every state

    def judge(self) -> None:
        entries: dict[int, Entry] = {}
        digests: dict[int, str] = {}
        for actor in self.actors:
            for index, entry, _ in actor.applied:
                if entries.setdefault(index, entry) != entry:
                    raise Violation("one log", f"two entries at {index}")
            digest = digest_of(actor.replica.table)
            if digests.setdefault(actor.replica.next_index, digest) != digest:
                raise Violation("one log", f"two tables before {actor.replica.next_index}")
        believers = [actor for actor in self.actors if actor.believes]
        for actor in believers:
            for other in believers:
                if actor is not other and _conflict(actor.question, other.question):
                    raise Violation("exclusion", f"{actor.name} and {other.name} both believe")

    def judge_end(self) -> None:
        """Nothing can happen any more: all are done, and whoever reads on finds nothing held,
        except what a session that was interrupted gives back at its next beat."""
        waiting = [actor.name for actor in self.actors if not actor.done]
        unwanted = {
            token
            for actor in self.actors
            for token in self._final_table().tokens_of(actor.name)
            if token not in actor.requests.wanted
        }
        held = set(self._final_table().holdings) - unwanted
        if held or (waiting and not unwanted):
            raise Violation("progress", f"{waiting} wait, {sorted(held)} are held")

    def _final_table(self) -> Table:
        return max((actor.replica for actor in self.actors), key=lambda r: r.next_index).table


def _conflict(one: Acquire, other: Acquire) -> bool:
    exclusive = one.exclusive or other.exclusive
    return exclusive and overlaps(one.claims[0].key, other.claims[0].key)


def _begin(scope: Scope) -> Universe:
    names = [f"session{number}" for number in range(len(scope.asks))]
    table = Table(grace=False)
    for number, name in enumerate(names):
        facts = SessionFacts(ProcessFacts("host", "boot", 1, number + 1, number + 1))
        table.apply(number, Entry(name, 1_000_000, 0.0, records.Open(facts)))
    links = {f"s{number}": target for number, target in enumerate(encode_snapshot(table, 0))}
    from . import exhaustive_publishing as publishing

    actor_of = publishing.Publisher if scope.publishes else Actor
    universe_of = publishing.Shelf if scope.publishes else Universe
    actors = [
        actor_of(name, path, exclusive)
        for name, (path, exclusive) in zip(names, scope.asks, strict=True)
    ]
    universe = universe_of(actors, links)
    for actor in actors:
        actor.asked = next(actor.script)
        while not isinstance(actor.asked, effects.Symlink):
            actor.step(universe._execute(actor.asked, "done"), None)
        actor.answers = ()
    return universe


def _replay(scope: Scope, choices: tuple[tuple[int, str], ...]) -> Universe:
    universe = _begin(scope)
    for choice in choices:
        universe.choose(choice)
    return universe


class Explored(NamedTuple):
    states: int
    ends: int
    longest: int


def explore(scope: Scope) -> Explored:
    """Visit every state. Errors: ``Violation``, naming the choices that lead to it."""
    seen: set[int] = set()
    todo: list[tuple[tuple[int, str], ...]] = [()]
    ends = longest = 0
    while todo:
        path = todo.pop()
        universe = _replay(scope, path)
        while True:
            key = hash(universe.key())
            if key in seen:
                break
            seen.add(key)
            choices = universe.choices(scope.faults)
            try:
                universe.judge()
                if not choices:
                    universe.judge_end()
            except Violation as violation:
                raise Violation(violation.checker, f"{violation.what} after {path}") from None
            longest = max(longest, len(path))
            if not choices:
                ends += 1
                break
            todo.extend((*path, choice) for choice in choices[1:])
            path = (*path, choices[0])
            universe.choose(choices[0])
    return Explored(len(seen), ends, longest)


SCOPES: Final = (
    Scope((("a", True), ("a", True)), 1),
    Scope((("a", True), ("a/b", False)), 1),
    Scope((("a", False), ("a/b", False)), 1),
    Scope((("a", True), ("b", True)), 1),
    Scope((("a", True), ("a", False), ("a", True)), 0),
    Scope((("a", True), ("a/b", True)), 1, publishes=True),
)
DEEP: Final = tuple(scope._replace(faults=scope.faults + 1) for scope in SCOPES)


def report(*, deep: bool) -> str:
    lines = []
    total = 0
    for scope in DEEP if deep else SCOPES:
        explored = explore(scope)
        total += explored.states
        asks = " and ".join(f"{path}:{'x' if exclusive else 's'}" for path, exclusive in scope.asks)
        lines.append(
            f"{asks:26} {'publish, ' if scope.publishes else ''}up to {scope.faults} faults: "
            f"{explored.states} states, "
            f"{explored.ends} ends, at most {explored.longest} steps"
        )
    return "\n".join([*lines, f"{total} states, every one as promised"])
