"""Breaking a lease that a Redis keeps: its holder loses it first, and then it ends.

The mark is told to the holder with its next beat; whoever watched it for a ttl ends the lease. A
beat sent after the mark reads it before it counts, so the holder stops at the latest ttl - margin
after the mark, and the watcher, who saw it at the earliest when it was made, waits margin longer.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from volumelease.authorities import answers
from volumelease.effects import Steps, Unlink, WriteDurably

from .calling import text
from .tokens import name_of, token_of
from .watching import MARK, Watch

if TYPE_CHECKING:
    from .session import RedisSession

_PATIENCE_SECONDS = 5.0


class Breaking:
    """One session's part in breaking leases of others."""

    def __init__(self, session: RedisSession) -> None:
        self._session = session
        self._watch = Watch(session.timing)
        self._marked: set[int] = set()
        self.ends: dict[int, str] = {}
        """How each lease ended that this session broke, in words; "" before."""

    def under_way(self, token: int) -> bool:
        """Whether that lease still stands, as far as was seen."""
        return token in self._marked

    def begin(self, token: int, reason: str, audit: str = "", record: bytes = b"") -> Steps[bool]:
        """Mark that lease as being broken. Returns whether it is, no matter by whom.

        ``record`` is written to ``audit/<audit>`` before, and removed again if there was nothing
        to break. Errors: those of ``Calls.insist``.
        """
        path = self._session.publishing.layout.audit(audit)
        if audit:
            with suppress(OSError):
                yield WriteDurably(path, record)
        by = answers.breaker(self._session.facts, reason)
        yield from self._call(token, "mark", by)
        yield from self.look_on()
        if audit and token not in self._marked:
            with suppress(OSError):
                yield Unlink(path)
        if token in self._marked:
            self.ends[token] = ""
        return token in self._marked

    def look_on(self) -> Steps[None]:
        """One round of waiting for the end. Errors: those of ``Calls.once``."""
        session = self._session
        asked = session.clock.read()
        reply = yield from session.calls.once("look", 0)
        marked = [text(token) for token in reply.rest[3]]
        seen = [(MARK + token, "") for token in marked]
        self._marked = {token_of(token) for token in marked}
        for token, how in self.ends.items():
            if not how and token not in self._marked:
                self.ends[token] = "let go by its holder, or ended by another session"
        for name in self._watch.look(seen, asked, session.clock.read()):
            yield from self.end_at_once(token_of(name.removeprefix(MARK)))

    def end_at_once(self, token: int) -> Steps[None]:
        """End a marked lease, whether its holder could notice or not. DANGEROUS before the mark
        was watched for a ttl. Errors: those of ``Calls.insist``."""
        word = yield from self._call(token, "end", "")
        self._marked.discard(token)
        if word == "broken":
            self.ends[token] = "broken"

    def _call(self, token: int, stage: str, by: str) -> Steps[str]:
        session = self._session
        reply = yield from session.calls.insist(
            session.alive, _PATIENCE_SECONDS, "break", name_of(token), stage, by
        )
        session.requests.granted_by(reply.rest[0])
        return reply.word
