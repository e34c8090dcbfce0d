"""The end of the leases of a volume in a Redis: another authority grants from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from volumelease.effects import Sleep, Steps
from volumelease.errors import AuthorityUnreachable

from .calling import text

if TYPE_CHECKING:
    from .session import RedisSession

_PAUSE_SECONDS: Final = 0.2


def move(session: RedisSession, incarnation: int, token: int, log: str) -> Steps[tuple[str, bool]]:
    """End the table of that incarnation in favour of ``log``, under the lease ``token`` of the
    whole volume. Returns the log that takes its place: this one, or one that was named before; ""
    if the table goes on. And whether nobody can ever have heard of another answer: a Redis can
    have forgotten one that was lost on its way.

    Errors: those of ``CallScript``. Then, and whenever this is interrupted, the outcome is unknown:
    ``moved.lua`` tells.
    """
    certain = True
    mine = session.requests.wanted.get(token)
    while mine is not None:
        try:
            reply = yield from session.calls.bare(incarnation, "move", mine.number, "volume", log)
        except AuthorityUnreachable:
            if not session.alive():
                raise
            certain = False
            yield Sleep(_PAUSE_SECONDS)
            continue
        return (text(reply.rest[1]) if reply.word == "ended" else ""), certain
    return "", True
