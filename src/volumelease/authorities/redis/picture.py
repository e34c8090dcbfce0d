"""What a Redis tells of one volume: who is ahead, and all of it as a table of the core, to be
shown."""

from __future__ import annotations

from typing import Any, NamedTuple

from volumelease.core.table import Holding, Session, Table
from volumelease.model import Holder
from volumelease.wire.tellings import decode_about, decode_session

from .calling import text
from .tokens import token_of


class Kept(NamedTuple):
    """What a Redis kept of one volume at one moment. ``incarnation``: the number of its memory, 0
    if it knows nothing of the volume. ``counters``: of the sessions' heartbeats."""

    table: Table
    incarnation: int
    counters: dict[str, int]


def table_of(reply: list[Any]) -> Table:
    """The table that a reply of ``picture.lua`` tells of. Limit: the owners of requests are not
    told."""
    _, _, grace, sessions, requests = reply
    table = Table(grace=bool(grace))
    for name, facts, _ in sessions:
        table.sessions[text(name)] = Session(decode_session(text(facts)), 0.0)
    for one in sorted(requests, key=lambda one: one[0]):
        token, session, exclusive, granted, asked, about, by, _ = map(text, one)
        what = decode_about(about)
        table.restore(
            Holding(
                token=token_of(token),
                session=session,
                owner="",
                claims=what.claims,
                exclusive=exclusive == "1",
                client=what.client,
                reason=what.reason,
                requested_wall=float(asked),
                granted=bool(granted),
                granted_wall=float(granted or 0),
                breaking=bool(by),
            )
        )
    return table


def kept_in(reply: list[Any]) -> Kept:
    """All that a reply of ``picture.lua`` tells."""
    counters = {text(name): int(counter) for name, _, counter in reply[3]}
    return Kept(table_of(reply), int(reply[1]), counters)


def holders_of(told: list[list[Any]]) -> tuple[Holder, ...]:
    """Those that a script tells are ahead, oldest first."""
    return tuple(holder_of(one) for one in told)


def holder_of(told: list[Any]) -> Holder:
    """A request that a script tells of."""
    token, session, exclusive, granted, asked, about, by, facts = map(text, told)
    who, what = decode_session(facts), decode_about(about)
    return Holder(
        session=session,
        token=token_of(token),
        paths=tuple(claim.path for claim in what.claims),
        exclusive=exclusive == "1",
        granted=bool(granted),
        since=float(granted or asked),
        endpoint=who.endpoint,
        worker=who.worker,
        host=who.process.hostname,
        pid=what.client.pid if what.client else who.process.pid,
        reason=what.reason,
        breaking=bool(by),
    )
