"""Histories of the log for tests: drawn as moves, which shrink well, and then written out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from hypothesis import strategies as st

from tests.core.reference import Place, Reference
from volumelease.core import records
from volumelease.core.records import Body, Entry, SessionFacts
from volumelease.host import ProcessFacts
from volumelease.model import Claim, Client

T = TypeVar("T")

KEYS = ("", "a", "ab", "a/b", "a/b/c", "a/bc", "b", "b/a", "é ü/\udc80")
KINDS = (
    *("request",) * 12,
    *("release",) * 5,
    *("cancel", "downgrade", "publish") * 3,
    *("published", "breaking", "broken", "open") * 2,
    *("expire", "close", "ready", "next", "garbage", "moved"),
)
FACTS = SessionFacts(ProcessFacts("host", "boot", 4026531836, 7, 123456), worker="w")


class Move(NamedTuple):
    """One step of a history. ``pick`` chooses among what there is, newest first."""

    kind: str
    who: int
    owner: int
    pick: int
    keys: tuple[str, ...]
    exclusive: bool
    oddity: int


STRANGER, REPEATED, OVER = range(3)
"""Oddities: somebody else speaks, an old number comes again, about a request that is over or was
never granted."""


class History(NamedTuple):
    grace: bool
    steps: list[tuple[int, Entry]]


_moves = st.builds(
    Move,
    kind=st.sampled_from(KINDS),
    who=st.integers(0, 6),
    owner=st.integers(0, 2),
    pick=st.integers(0, 7),
    keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=2).map(tuple),
    exclusive=st.booleans(),
    oddity=st.integers(0, 15),
)


def histories() -> st.SearchStrategy[History]:
    """Three sessions open, a fourth may; most logs are past their grace."""
    return st.builds(
        lambda grace, moves: History(grace == 0, list(written_out(grace == 0, moves))),
        st.integers(0, 4),
        st.sampled_from((0, 15, 30)).flatmap(
            lambda least: st.lists(_moves, min_size=least, max_size=least + 15)
        ),
    )


def crowds() -> st.SearchStrategy[History]:
    """Many owners of three sessions who take and want a few paths: long queues and circles."""
    kinds = ("request", "request", "request", "release", "cancel")
    move = st.builds(
        Move,
        kind=st.sampled_from(kinds),
        who=st.integers(0, 2),
        owner=st.integers(0, 3),
        pick=st.integers(0, 7),
        keys=st.lists(st.sampled_from(("a", "b", "c", "b/c")), min_size=1, max_size=2).map(tuple),
        exclusive=st.booleans(),
        oddity=st.just(OVER + 1),
    )
    return st.lists(move, min_size=10, max_size=40).map(
        lambda moves: History(False, list(written_out(False, moves)))
    )


def written_out(grace: bool, moves: Iterable[Move]) -> Iterator[tuple[int, Entry]]:
    """Garbage is left out: it keeps its index and reaches no table."""
    writer = _Writer(grace)
    for index, name in enumerate(("s0", "s1", "s2")):
        yield index, writer.write(index, name, records.Open(FACTS), repeated=False)
    for index, move in enumerate(moves, 3):
        if move.kind != "garbage":
            author, body = writer.decide(move)
            yield index, writer.write(index, author, body, repeated=move.oddity == REPEATED)


class _Writer:
    """Knows how things stand, so that most of what it writes has an effect."""

    def __init__(self, grace: bool) -> None:
        self.now = Reference(grace)
        self.numbers: dict[str, int] = {}
        self.asked: list[Place] = []

    def write(self, index: int, author: str, body: Body, *, repeated: bool) -> Entry:
        number = self.numbers.setdefault(author, 1)
        if repeated:
            number = max(1, number - 1 - index % 20)
        else:
            self.numbers[author] += 1
        entry = Entry(author, number, 1000.0 + index / 8, body)
        if isinstance(body, records.Request):
            keys = tuple(claim.key for claim in body.claims)
            self.asked.append(Place(index, author, body.owner, keys, body.exclusive))
        self.now.apply(index, entry)
        return entry

    def decide(self, move: Move) -> tuple[str, Body]:
        known = list(self.now.sessions)
        speaker = _pick(move.who, known) if known and move.who < 6 else "s3"
        place = self._place(move)
        author = speaker if move.oddity == STRANGER else place.session
        match move.kind:
            case "request":
                return speaker, _request(move)
            case "release":
                return author, records.Release(place.token)
            case "cancel":
                return author, records.Cancel(place.token)
            case "downgrade":
                return author, records.Downgrade(place.token)
            case "moved":
                return author, records.Moved("redis")
            case "publish":
                below = f"{place.keys[-1]}/x".lstrip("/") if move.pick else move.keys[0] or "x"
                target = Claim(below.upper(), below)
                return author, records.Publish(place.token, f"stage/{move.pick}", target)
            case "published":
                decided = _pick(move.pick, [publish[0] for publish in self.now.pending] or [0])
                return speaker, records.Published(decided, "" if move.exclusive else "no")
            case _:
                return speaker, _of_anybody(move, place.token)

    def _place(self, move: Move) -> Place:
        """The request that a move is about."""
        queue = self.now.queue
        fitting = {
            "cancel": queue,
            "broken": [place for place in queue if place.breaking],
            "downgrade": [place for place in queue if place.granted and place.exclusive],
            "publish": [place for place in queue if place.granted and place.exclusive],
            "moved": [place for place in queue if place.granted and "" in place.keys],
        }.get(move.kind, [place for place in queue if place.granted])
        if move.oddity == OVER or not fitting:
            fitting = self.asked or [Place(2, "s2", "o", ("a",), True)]
        return _pick(move.pick, fitting)


def _pick(number: int, choices: Sequence[T]) -> T:
    return choices[-1 - number % len(choices)]


def _request(move: Move) -> records.Request:
    claims = tuple(Claim(key.upper(), key) for key in move.keys)
    client = Client(move.pick, 99) if move.pick > 5 else None
    return records.Request(claims, move.exclusive, f"o{move.owner}", client, "why" * move.owner)


def _of_anybody(move: Move, token: int) -> Body:
    match move.kind:
        case "open":
            return records.Open(FACTS._replace(endpoint=f"e{move.pick}"))
        case "breaking":
            return records.Breaking(token, "stuck")
        case "broken":
            return records.Broken(token)
        case "expire":
            return records.Expire(f"s{move.pick % 5}", "stood still")
        case "close":
            return records.Close()
        case "ready":
            return records.Ready()
        case _:
            return records.Next(f"{move.pick}-abc")
