"""The table: who holds what and who waits, as a pure function of the log.

``Table.apply(index, entry)`` is called with every entry in the order of the log by every worker
and must give the same table everywhere. The rules:

* A request is granted when no older request, granted or waiting, conflicts with it: first in,
  first out, nobody passes a waiter that conflicts. Several paths are granted together or not at
  all. The index of the request is the lease's token, so tokens only grow.
* A session that the table does not know can do nothing: it is lost, never new.
* What the rules do not allow is void. It keeps its index and changes nothing.
* While ``grace`` lasts nothing is granted.
* Once the leases ``moved`` to another authority, everything is void.

Limit: the table has no clock. That a session stands still is judged by those who watch it
(``core.liveness``) and reaches the table as ``Expire``.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final, NamedTuple, assert_never

from volumelease.model import Claim, Client

from . import records
from .conflicts import ConflictIndex, covers
from .moving import movable
from .records import Entry, SessionFacts

RECENT_RECORDS: Final = 16
"""How many of its last records each session is remembered by, so that a writer whose answer was
lost for long finds out from a snapshot whether its record landed. A session has at most a
handful under way."""

_KEY: Final = attrgetter("key")
_TOKEN: Final = attrgetter("token")


class Holding:
    """One request, waiting or granted. Its token is its index in the log."""

    __slots__ = (
        "breaking",
        "claims",
        "client",
        "exclusive",
        "granted",
        "granted_wall",
        "keys",
        "owner",
        "reason",
        "requested_wall",
        "session",
        "token",
    )

    def __init__(
        self,
        token: int,
        session: str,
        owner: str,
        claims: tuple[Claim, ...],
        exclusive: bool,
        client: Client | None,
        reason: str,
        requested_wall: float,
        granted: bool = False,
        granted_wall: float = 0.0,
        breaking: bool = False,
    ) -> None:
        self.token = token
        self.session = session
        self.owner = owner
        self.claims = claims
        self.keys = tuple(map(_KEY, claims))
        self.exclusive = exclusive
        self.client = client
        self.reason = reason
        self.requested_wall = requested_wall
        self.granted = granted
        self.granted_wall = granted_wall
        self.breaking = breaking


class Session:
    """One live worker incarnation as the log knows it. ``recent`` maps the number of a record
    to its index; a negative one means that the record was void (index -1 - n)."""

    __slots__ = ("facts", "opened_wall", "recent")

    def __init__(self, facts: SessionFacts, opened_wall: float) -> None:
        self.facts = facts
        self.opened_wall = opened_wall
        self.recent: dict[int, int] = {}


class Pending(NamedTuple):
    """A publish that was decided (its own index) and is not known to be applied."""

    publish: int
    session: str
    token: int
    source: str
    target: Claim


class Outcome(NamedTuple):
    """What one entry did. ``void`` says why it did nothing; ``cycle`` names the tokens of the
    wait cycle that a refused request would have closed; ``behind`` names who waited
    behind what it ended, and goes on waiting."""

    void: str = ""
    granted: tuple[int, ...] = ()
    ended: tuple[int, ...] = ()
    cycle: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()


_DONE: Final = Outcome()
_UNKNOWN_SESSION: Final = Outcome(void="unknown session")


class Table:
    """The state of all leases of one volume. Change it only through ``apply``."""

    __slots__ = (
        "_index",
        "_owners",
        "breaking",
        "grace",
        "holdings",
        "moved",
        "pending",
        "sessions",
    )

    def __init__(self, *, grace: bool = True) -> None:
        self.grace = grace
        self.moved = ""  # the authority that grants instead of this log
        self.sessions: dict[str, Session] = {}
        self.holdings: dict[int, Holding] = {}
        self.pending: dict[int, Pending] = {}
        self.breaking: set[int] = set()
        """Tokens of the leases that are being broken."""
        self._index = ConflictIndex()
        self._owners: dict[tuple[str, str], dict[int, None]] = {}

    # ---- questions

    def holding_of(self, session: str, token: int) -> Holding | None:
        holding = self.holdings.get(token)
        return holding if holding is not None and holding.session == session else None

    def tokens_of(self, session: str) -> list[int]:
        return [token for token, held in self.holdings.items() if held.session == session]

    def blockers(self, holding: Holding) -> list[Holding]:
        """The older requests in the way of ``holding``, oldest first."""
        tokens = self._index.blockers(holding.token, holding.keys, holding.exclusive)
        return [self.holdings[token] for token in sorted(tokens)]

    def in_the_way(self, claims: Iterable[Claim], exclusive: bool) -> list[Holding]:
        """What a new request for ``claims`` would have to wait for, oldest first."""
        newest = 1 + next(reversed(self.holdings), 0)
        tokens = self._index.blockers(newest, [claim.key for claim in claims], exclusive)
        return [self.holdings[token] for token in sorted(tokens)]

    def landed(self, session: str, number: int) -> int | None:
        """The index of that record of ``session``, negative (-1 - index) if it was void."""
        known = self.sessions.get(session)
        return None if known is None else known.recent.get(number)

    # ---- the one way to change it

    def apply(self, index: int, entry: Entry) -> Outcome:
        """Apply one entry. Never raises on any decodable entry; what is not allowed is void."""
        session = self.sessions.get(entry.author)
        if session is None:
            if self.moved or not isinstance(entry.body, records.Open):
                return _UNKNOWN_SESSION
            outcome = self._open(entry, entry.body)
            session = self.sessions[entry.author]
        elif entry.number in session.recent:
            return Outcome(void="the same record a second time")
        else:
            outcome = self._apply_known(index, entry)
        session.recent[entry.number] = -1 - index if outcome.void or outcome.cycle else index
        while len(session.recent) > RECENT_RECORDS:
            del session.recent[next(iter(session.recent))]
        return outcome

    def _open(self, entry: Entry, body: records.Open) -> Outcome:
        self.sessions[entry.author] = Session(body.facts, entry.wall)
        return _DONE

    def _apply_known(self, index: int, entry: Entry) -> Outcome:
        author, body = entry.author, entry.body
        match body:
            case records.Request():
                return self._request(index, entry, body)
            case records.Cancel(token):
                return self._let_go(author, token, entry.wall, also_waiting=True)
            case records.Release(token):
                return self._let_go(author, token, entry.wall, also_waiting=False)
            case records.Downgrade(token):
                return self._downgrade(author, token, entry.wall)
            case records.Expire(victim):
                return self._end_session(victim, entry.wall)
            case records.Close():
                return self._end_session(author, entry.wall)
            case records.Publish():
                return self._publish(index, author, body)
            case records.Published(published):
                if self.pending.pop(published, None) is None:
                    return Outcome(void="no such publish is pending")
                return _DONE
            case records.Breaking(token):
                return self._break(token)
            case records.Broken(token):
                holding = self.holdings.get(token)
                if holding is None or not holding.breaking:
                    return Outcome(void="that lease is not being broken")
                return self._end([holding], entry.wall)
            case records.Ready():
                return self._ready(entry.wall)
            case records.Moved(authority):
                return self._move(author, authority, entry.wall)
            case records.Next():
                return _DONE
            case records.Open():
                return Outcome(void="the session is open already")
            case other:
                assert_never(other)

    def _break(self, token: int) -> Outcome:
        holding = self.holdings.get(token)
        if holding is None or holding.breaking or not holding.granted:
            return Outcome(void="no such lease to break")
        holding.breaking = True
        self.breaking.add(token)
        return _DONE

    # ---- requests

    def _request(self, index: int, entry: Entry, body: records.Request) -> Outcome:
        holding = Holding(
            token=index,
            session=entry.author,
            owner=body.owner,
            claims=body.claims,
            exclusive=body.exclusive,
            client=body.client,
            reason=body.reason,
            requested_wall=entry.wall,
        )
        cycle = self._cycle_closed_by(holding)
        if cycle:
            return Outcome(cycle=cycle)
        self._insert(holding)
        return Outcome(granted=self._grant([index], entry.wall))

    def _insert(self, holding: Holding) -> None:
        self.holdings[holding.token] = holding
        if holding.breaking:
            self.breaking.add(holding.token)
        self._index.add(holding.token, holding.keys, holding.exclusive)
        owner = (holding.session, holding.owner)
        self._owners.setdefault(owner, {})[holding.token] = None

    def _remove(self, holding: Holding) -> None:
        del self.holdings[holding.token]
        self.breaking.discard(holding.token)
        self._index.remove(holding.token, holding.keys, holding.exclusive)
        owner = (holding.session, holding.owner)
        del self._owners[owner][holding.token]
        if not self._owners[owner]:
            del self._owners[owner]

    def _grant(self, candidates: Iterable[int], wall: float) -> tuple[int, ...]:
        """Grant what can be granted among ``candidates`` (oldest first)."""
        if self.grace:
            return ()
        granted = []
        for token in candidates:
            holding = self.holdings[token]
            if holding.granted or self._index.blocked(token, holding.keys, holding.exclusive):
                continue
            holding.granted = True
            holding.granted_wall = wall
            granted.append(token)
        return tuple(granted)

    def _end(self, ending: list[Holding], wall: float) -> Outcome:
        candidates: set[int] = set()
        for holding in ending:
            candidates |= self._index.affected(holding.token, holding.keys, holding.exclusive)
            self._remove(holding)
        tokens = tuple(map(_TOKEN, ending))
        if not candidates:
            return Outcome(ended=tokens)
        left = sorted(candidates - set(tokens))
        granted = self._grant(left, wall)
        behind = tuple(token for token in left if token not in granted)
        return Outcome(granted=granted, ended=tokens, behind=behind)

    def _let_go(self, author: str, token: int, wall: float, *, also_waiting: bool) -> Outcome:
        holding = self.holding_of(author, token)
        if holding is None or not (holding.granted or also_waiting):
            return Outcome(void="the session does not hold that lease")
        return self._end([holding], wall)

    def _downgrade(self, author: str, token: int, wall: float) -> Outcome:
        holding = self.holding_of(author, token)
        if holding is None or not holding.granted or not holding.exclusive:
            return Outcome(void="the session does not hold that lease exclusively")
        candidates = self._index.affected(token, holding.keys, exclusive=True)
        self._index.remove(token, holding.keys, exclusive=True)
        holding.exclusive = False
        self._index.add(token, holding.keys, exclusive=False)
        return Outcome(granted=self._grant(sorted(candidates), wall))

    # ---- sessions

    def _end_session(self, victim: str, wall: float) -> Outcome:
        if self.sessions.pop(victim, None) is None:
            return Outcome(void="no such session")
        return self._end([self.holdings[token] for token in self.tokens_of(victim)], wall)

    def _ready(self, wall: float) -> Outcome:
        if not self.grace:
            return Outcome(void="the log is ready already")
        self.grace = False
        return Outcome(granted=self._grant(sorted(self.holdings), wall))

    def _move(self, author: str, authority: str, wall: float) -> Outcome:
        if not movable(self, author):
            return Outcome(void="the session does not hold the whole volume")
        self.grace = True  # nobody is granted anything while all of it ends
        outcome = self._end(list(self.holdings.values()), wall)
        self.sessions.clear()
        self.moved = authority
        return outcome

    # ---- publishing

    def _publish(self, index: int, author: str, body: records.Publish) -> Outcome:
        holding = self.holding_of(author, body.token)
        if holding is None or not holding.granted or not holding.exclusive:
            return Outcome(void="the lease is not live")
        if holding.breaking:
            return Outcome(void="the lease is being broken")
        if not any(covers(key, body.target.key) for key in holding.keys):
            return Outcome(void="the target is outside the lease")
        self.pending[index] = Pending(index, author, body.token, body.source, body.target)
        return _DONE

    # ---- deadlock

    def _cycle_closed_by(self, new: Holding) -> tuple[int, ...]:
        """The tokens of the wait cycle that ``new`` would close, itself last, else ().

        Waiting edges run from the OWNER of a request to the owners of the older requests in its
        way. Edges only appear with a new request and only lead to older ones, so the youngest of
        a cycle is always the request that closes it.
        """
        owner = (new.session, new.owner)
        if owner not in self._owners:
            return ()  # nobody can be waiting for an owner that has nothing
        trail: dict[tuple[str, str], tuple[int, ...]] = {}
        # What stands in the way of a request stands in the way of every younger one with the same
        # claims: without this, each nested request would look at a long queue N * N times.
        looked: dict[tuple[tuple[str, ...], bool], int] = {(new.keys, new.exclusive): new.token}
        blocking = self._index.blockers(new.token, new.keys, new.exclusive)
        front: list[tuple[Holding, tuple[int, ...]]] = [
            (self.holdings[token], ()) for token in sorted(blocking)
        ]
        while front:
            holding, path = front.pop()
            reached = (holding.session, holding.owner)
            steps: tuple[int, ...] = (*path, holding.token)
            if reached == owner:
                return (*steps, new.token)
            if reached in trail:
                continue
            trail[reached] = steps
            for token in self._owners[reached]:
                waiting = self.holdings[token]
                same = (waiting.keys, waiting.exclusive)
                if not waiting.granted and looked.get(same, -1) < token:
                    looked[same] = token
                    front.extend((blocker, steps) for blocker in self.blockers(waiting))
        return ()

    # ---- snapshots

    def restore(self, holding: Holding) -> None:
        """Put back one holding of a snapshot, in ascending order of tokens."""
        self._insert(holding)
