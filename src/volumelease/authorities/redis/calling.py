"""How a session calls its Redis: by name of an incarnation, and again when an answer was lost.

Every call names the memory that the session knows; a Redis that forgot, or is another one, has a
newer one and does nothing but say so. Then the session names what it has (``rejoin``) and
asks again. Every call may be asked again, because requests are numbered, counters only grow, and
everything else names what it is about.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, Final, NamedTuple, TypeAlias

from volumelease.authorities.answers import SessionOver, moved_words
from volumelease.clock import Clock
from volumelease.effects import CallScript, Sleep, Steps
from volumelease.errors import AuthorityUnreachable

FIRST_PAUSE_SECONDS: Final = 0.02
LONGEST_PAUSE_SECONDS: Final = 0.5

Argument: TypeAlias = str | bytes | int


class Memory(NamedTuple):
    """One memory of one Redis: of two, the larger is the newer. ``nonce`` tells two of the same
    incarnation apart: a server that forgets twice in one second can come to the same number."""

    incarnation: int
    nonce: str

    def __str__(self) -> str:
        return f"{self.incarnation} {self.nonce}"


NONE_YET: Final = Memory(0, "")


class Reply(NamedTuple):
    """``word`` says what it is, ``rest`` what it tells."""

    word: str
    rest: list[Any]


def text(value: bytes | int) -> str:
    """A part of a reply, as it was given to Redis."""
    if isinstance(value, int):
        return str(value)
    return value.decode("utf-8", "surrogateescape")


def raw(value: str) -> bytes:
    """A text as Redis keeps it, whatever bytes a path has."""
    return value.encode("utf-8", "surrogateescape")


def state_key(identity_id: str) -> str:
    """All keys of one volume have this one's hash tag."""
    return f"{{volumelease:{identity_id}}}:state"


class Calls:
    """The calls of one session."""

    def __init__(
        self,
        identity_id: str,
        session: str,
        clock: Clock,
        unique: Callable[[], str],
        rejoin: Callable[[Memory], Steps[None]],
        lose: Callable[[str], None],
    ) -> None:
        self.memory = NONE_YET
        """The one this session is part of, once it is open."""
        self.last = -1
        """The last number that this session was told of, as a token."""
        self._key = state_key(identity_id)
        self.session = session
        self._clock = clock
        self._mine = unique()
        self._made = count()
        self._rejoin = rejoin
        self._lose = lose

    @property
    def incarnation(self) -> int:
        return self.memory.incarnation

    def once(self, script: str, *arguments: Argument) -> Steps[Reply]:
        """Call, and go on with whatever memory there is.

        Errors: ``SessionOver``; ``AuthorityUnreachable``, then the outcome is unknown; those of
        ``CallScript``.
        """
        while True:
            named = self.memory
            reply = self._reply((yield self._call(named, script, arguments)))
            if reply.word == "incarnation":
                yield from self._rejoin(memory_of(reply))
            elif named == self.memory or not named.incarnation:
                return reply
            # Else another thread of this process went over to a new memory meanwhile, in which
            # nothing is known of what this call did in the old one.

    def call_in(self, memory: Memory, script: str, *arguments: Argument) -> Steps[Reply]:
        """Call in the name of one memory. A session that the server does not know is lost
        from this answer on, whoever asked. Errors: as ``once``."""
        return self._reply((yield self._call(memory, script, arguments)))

    def only_in(self, memory: Memory, script: str, *arguments: Argument) -> Steps[Reply | None]:
        """Call for what was seen in that memory and means nothing in another one. None where the
        server, or by now this session, has another: then nothing follows from it. Errors: as
        ``once``."""
        reply = yield from self.call_in(memory, script, *arguments)
        return None if reply.word == "incarnation" or memory != self.memory else reply

    def bare(self, memory: Memory, script: str, *arguments: Argument) -> Steps[Reply]:
        """The same, whatever the answer says of the session. Errors: those of ``CallScript``."""
        answer = yield self._call(memory, script, arguments)
        return Reply(text(answer[0]), answer[1:])

    def _call(self, memory: Memory, script: str, arguments: tuple[Argument, ...]) -> CallScript:
        nonce, wall = f"{self._mine}-{next(self._made)}", f"{self._clock.wall():.3f}"
        return CallScript(script, self._key, (str(memory), nonce, self.session, wall, *arguments))

    def _reply(self, answer: list[Any]) -> Reply:
        reply = Reply(text(answer[0]), answer[1:])
        if reply.word in ("unknown", "ended"):
            over = _over(reply)
            self._lose(str(over))
            raise over
        return reply

    def insist(
        self, wanted: Callable[[], bool], seconds: float, script: str, *arguments: Argument
    ) -> Steps[Reply]:
        """The same, again and again as long as nobody answers and it is ``wanted``, for about
        ``seconds``. Errors: as ``once``."""
        until = self._clock.monotonic() + seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return (yield from self.once(script, *arguments))
            except AuthorityUnreachable:
                if not wanted() or self._clock.monotonic() + pause > until:
                    raise
            yield Sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def memory_of(reply: Reply) -> Memory:
    """The memory that the server has, by its reply to ``open`` or to a call that named another."""
    return Memory(int(reply.rest[0]), text(reply.rest[2]))


def _over(reply: Reply) -> SessionOver:
    if reply.word == "unknown":
        return SessionOver("another session saw no beat of this one and ended it")
    authority = text(reply.rest[0])
    return SessionOver(moved_words(authority), advice="Start the worker again", moved=authority)
