"""Breaking a lease that a Redis keeps: its holder loses it first, and then it ends.

The mark is told to the holder with its next beat; whoever watched it for a ttl ends the lease. A
beat sent after the mark reads it before it counts, so the holder stops at the latest ttl - margin
after the mark, and the watcher, who saw it at the earliest when it was made, waits margin longer.

A Redis that forgot has no marks, and its holders name their leases to it: so a mark counts in the
memory in which it was seen, and who breaks a lease marks it again in the next one.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from volumelease.authorities import answers
from volumelease.effects import Steps, Unlink, WriteDurably
from volumelease.errors import AuthorityUnreachable

from .calling import NONE_YET, Memory
from .tokens import name_of, token_of
from .watching import MARK, Watch, standing_things

if TYPE_CHECKING:
    from .session import RedisSession

_PATIENCE_SECONDS = 5.0


class _Order(NamedTuple):
    """What is to be broken ``by`` whom, and the memory in which that lease has ended if no mark on
    it is there: the one that had the mark, or had no such lease after its grace."""

    by: str
    memory: Memory


class Breaking:
    """One session's part in breaking leases of others."""

    def __init__(self, session: RedisSession) -> None:
        self._session = session
        self._watch = Watch(session.timing)
        self._orders: dict[int, _Order] = {}
        self.ends: dict[int, str] = {}
        """How each lease ended that this session broke, in words; "" before."""

    def under_way(self, token: int) -> bool:
        """Whether that lease still stands, as far as was seen. In a grace that is not known: its
        holder may not have named it yet."""
        return token in self._orders

    def begin(self, token: int, reason: str, audit: str = "", record: bytes = b"") -> Steps[bool]:
        """Mark that lease as being broken. Returns whether it is, no matter by whom, or will be
        once its holder has named it to a Redis that forgot.

        ``record`` is written to ``audit/<audit>`` before, and removed again if there was nothing
        to break. Errors: those of ``Calls.insist``.
        """
        path = self._session.publishing.layout.audit(audit)
        if audit:
            with suppress(OSError):
                yield WriteDurably(path, record)
        by = answers.breaker(self._session.facts, reason)
        word = yield from self._call(token, "mark", by)
        marked_in = self._session.calls.memory if word == "marked" else NONE_YET
        self._orders[token], self.ends[token] = _Order(by, marked_in), ""
        yield from self.look_on()
        if word != "marked" and self.under_way(token):
            yield from self.look_on()  # the first one may have had to ask again
        if not self.under_way(token):
            if audit:
                with suppress(OSError):
                    yield Unlink(path)
            del self.ends[token]
            return False
        return True

    def look_on(self) -> Steps[None]:
        """One round of waiting for the end. Errors: those of ``Calls.once``."""
        session = self._session
        asked = session.clock.read()
        reply = yield from session.calls.once("look", 0)
        answered, memory = session.clock.read(), session.calls.memory
        grace, marked = reply.rest[0], reply.rest[3]
        over = self._watch.look(standing_things(b"", marked, memory), asked, answered)
        standing = {token_of(token) for token in marked}
        for token in list(self._orders):
            if token in standing:
                self._note(token, memory)
            elif self._orders[token].memory == memory:
                self._ended(token, "let go by its holder, or ended by another session")
            else:
                yield from self._mark_again(token, memory, in_grace=grace != b"")
        for name in over:
            with suppress(AuthorityUnreachable):  # then the next round ends it
                yield from self._end_in(memory, token_of(name.removeprefix(MARK)))

    def _mark_again(self, token: int, memory: Memory, *, in_grace: bool) -> Steps[None]:
        """That memory has no mark on a lease that was marked in another one, or is not known."""
        order = self._orders[token]
        calls = self._session.calls
        reply = yield from calls.only_in(memory, "break", name_of(token), "mark", order.by)
        if reply is not None and (reply.word == "marked" or not in_grace):
            self._note(token, memory)  # void: somebody just marked it, or it is not there

    def _end_in(self, memory: Memory, token: int) -> Steps[None]:
        calls = self._session.calls
        reply = yield from calls.only_in(memory, "break", name_of(token), "end", "")
        if reply is not None:
            self._session.requests.granted_by(reply.rest[0])
            if reply.word == "broken":
                self._ended(token, "broken")

    def end_at_once(self, token: int) -> Steps[None]:
        """End a marked lease, whether its holder could notice or not. DANGEROUS before the mark
        was watched for a ttl. It is still under way if a Redis just forgot the mark. Errors: those
        of ``Calls.insist``."""
        if (yield from self._call(token, "end", "")) == "broken":
            self._ended(token, "broken")

    def _note(self, token: int, memory: Memory) -> None:
        if token in self._orders:
            self._orders[token] = self._orders[token]._replace(memory=memory)

    def _ended(self, token: int, how: str) -> None:
        if self._orders.pop(token, None) is not None:
            self.ends[token] = how

    def _call(self, token: int, stage: str, by: str) -> Steps[str]:
        session = self._session
        reply = yield from session.calls.insist(
            session.alive, _PATIENCE_SECONDS, "break", name_of(token), stage, by
        )
        session.requests.granted_by(reply.rest[0])
        return reply.word
