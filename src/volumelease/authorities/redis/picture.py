"""What a Redis keeps of one volume, as a table of the core: to be shown."""

from __future__ import annotations

from typing import Any

from volumelease.core.table import Holding, Session, Table
from volumelease.wire.tellings import decode_about, decode_session

from .calling import text
from .tokens import token_of


def table_of(reply: list[Any]) -> Table:
    """The table that a reply of ``picture.lua`` tells of. Limit: the owners of requests are not
    told."""
    _, _, grace, sessions, requests = reply
    table = Table(grace=bool(grace))
    for name, facts in sessions:
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
