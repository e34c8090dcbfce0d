"""What the table says to a question, in the same words for every authority."""

from __future__ import annotations

from collections.abc import Iterable

from volumelease.core import records
from volumelease.core.records import SessionFacts
from volumelease.core.table import Holding, Table
from volumelease.errors import AuthorityMoved, LeaseError
from volumelease.model import (
    Acquire,
    Answer,
    Busy,
    Deadlocked,
    Granted,
    Holder,
    Lost,
    Waiting,
    in_words,
)


class SessionOver(LeaseError):
    """The session is lost, or was ended: nothing can be asked in its name any more, and it commits
    nothing from what it knew. ``moved``: the authority that the leases moved to, or ""."""

    moved = ""


def describe(table: Table, holding: Holding) -> Holder:
    """A request of the table, for a person."""
    facts = table.sessions[holding.session].facts
    return Holder(
        session=holding.session,
        token=holding.token,
        paths=tuple(claim.path for claim in holding.claims),
        exclusive=holding.exclusive,
        granted=holding.granted,
        since=holding.granted_wall if holding.granted else holding.requested_wall,
        endpoint=facts.endpoint,
        worker=facts.worker,
        host=facts.process.hostname,
        pid=holding.client.pid if holding.client else facts.process.pid,
        reason=holding.reason,
        breaking=holding.breaking,
    )


def request_of(question: Acquire) -> records.Request:
    return records.Request(
        question.claims, question.exclusive, question.owner, question.client, question.reason
    )


def at_once(table: Table, question: Acquire) -> bool:
    """Whether the request would be granted without waiting."""
    return not table.grace and not table.in_the_way(question.claims, question.exclusive)


def loss_of(table: Table, session: str, token: int, by: str = "") -> str:
    """Why that session no longer has that lease, or "". ``by`` says who broke it and why, where
    that is known: `` by worker x: reason``."""
    holding = table.holdings.get(token)
    if holding is None or holding.session != session:
        return f"the lease was broken{by}"
    return f"the lease is being broken{by}" if holding.breaking else ""


def breaker(facts: SessionFacts | None, reason: str) -> str:
    """Who breaks a lease, and why, as ``loss_of`` takes it."""
    why = f": {reason}" if reason else ""
    if facts is None:
        return why
    who = in_words(facts.worker, facts.endpoint, facts.process.pid, facts.process.hostname)
    return f" by {who}{why}"


def standing(table: Table, session: str, token: int) -> Answer:
    """How a request of a live session stands."""
    loss = loss_of(table, session, token)
    if loss:
        return Lost(loss, broken=True)
    holding = table.holdings[token]
    if holding.granted:
        return Granted(token, holding.exclusive)
    return Waiting(token, _all(table, table.blockers(holding)))


def busy(table: Table, question: Acquire) -> Busy:
    return Busy(_all(table, table.in_the_way(question.claims, question.exclusive)))


def deadlocked(table: Table, question: Acquire, cycle: tuple[int, ...]) -> Deadlocked:
    blockers = table.in_the_way(question.claims, question.exclusive)
    return Deadlocked(cycle, _all(table, blockers))


def moved(root: str, authority: str) -> AuthorityMoved:
    return AuthorityMoved(
        f"the leases of {root} are on their way to another authority, {authority!r}",
        advice=f"If it lasts, finish it: volumelease migrate {root} --authority {authority}",
        root=root,
        seconds=0.0,
        authority=authority,
    )


def why_over(table: Table) -> str:
    """Why a session is not in the table any more."""
    if table.moved:
        return moved_words(table.moved)
    return "another session saw no beat of this one and ended it"


def moved_words(authority: str) -> str:
    return f"the volume takes its leases from {authority!r} now"


def _all(table: Table, holdings: Iterable[Holding]) -> tuple[Holder, ...]:
    return tuple(describe(table, holding) for holding in holdings)
