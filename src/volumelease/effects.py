"""What a protocol asks of the world, one value for each call.

The protocols of this package are generators: they yield one of these and are resumed with its
answer, or with the ``OSError`` it failed with. So the same lines run against a real volume, with
threads or an event loop, and against a simulated one in which every call can be late, lost or
repeated. Whoever performs an effect adds no decisions of its own.

Paths are absolute; ``at`` is a directory opened before, and then ``name`` is relative to it.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

from volumelease.host import ProcessFacts

T = TypeVar("T")


class Directory(Protocol):
    """An open directory: goes on naming the same directory after a rename.

    It stays open as long as anybody holds this object. Closing it by number while another thread
    is about to use it would send that thread's symlink into whatever got the number next.
    """


class Turn(Protocol):
    """The turn of one session to commit. Courtesy, not safety: who goes without it only costs
    a retry."""

    def free(self) -> bool:
        """Take it if nobody has it; never waits."""

    def leave(self) -> None:
        """Let the next one in. Does no harm where the calling thread does not have it."""


class Heard(NamedTuple):
    """How listening ended. ``rung``: somebody committed what this session waits for, perhaps.
    ``armed``: a bell was listened to, so that looking seldom is enough."""

    rung: bool
    armed: bool


class Bell(Protocol):
    """Wakes who waits. Courtesy, not safety: a ring that is lost costs one poll interval, one
    too many costs one look. None of these blocks."""

    def ring(self, sessions: frozenset[str]) -> None:
        """This session committed a grant to ``sessions``, or (empty) ended a request that others
        wait behind."""

    def announce(self, sessions: frozenset[str]) -> None:
        """This session waits behind those. Who knows of it before it lets go need not find out
        by a commit that fails."""

    def nudge(self) -> None:
        """Make this session's own listener return: what it listens for has changed."""


class Life(Protocol):
    """Sees whether a session's process lives that keeps a lock for as long as it does."""

    def is_free(self, session: str) -> bool:
        """Whether nobody has that session's lock now. Errors: ``OSError``."""


class Symlink(NamedTuple):
    """Create a symlink, exclusively. Any error leaves the outcome unknown."""

    target: str
    name: str
    at: Directory | None = None


class ReadLink(NamedTuple):
    """Answers the target (str)."""

    name: str
    at: Directory | None = None


class OpenDirectory(NamedTuple):
    """Answers a ``Directory``."""

    path: str


class ListDirectory(NamedTuple):
    """Answers the names (list[str]), in no order."""

    path: str


class MakeDirectory(NamedTuple):
    path: str


class Rename(NamedTuple):
    source: str
    target: str


class HardLink(NamedTuple):
    """Give a file, or a symlink itself, a second name."""

    source: str
    target: str


class Unlink(NamedTuple):
    path: str


class RemoveDirectory(NamedTuple):
    path: str


class CreateFile(NamedTuple):
    """Create an empty file, exclusively."""

    path: str


class SetCounter(NamedTuple):
    """Write a counter into a file's modification time, in whole seconds (utime): the one write
    that needs no space and is seen by another host's stat within milliseconds."""

    path: str
    counter: int


class ReadCounter(NamedTuple):
    """Answers the counter (int). By path: an open descriptor lags behind by a second."""

    path: str


class WriteNew(NamedTuple):
    """Create a file with this content, exclusively (O_EXCL), and fsync it. A reader may find it
    without its content for a moment; any error leaves the outcome unknown."""

    path: str
    content: bytes


class WriteDurably(NamedTuple):
    """Create a file with this content and fsync it: a full volume speaks at fsync."""

    path: str
    content: bytes


class ReadFile(NamedTuple):
    """Answers the content (bytes)."""

    path: str


class LookAt(NamedTuple):
    """Answers what is there: a ``Kind``. Follows no link at the end of the path."""

    path: str


class Kind(NamedTuple):
    """One of ``directory``, ``file``, ``link`` and ``other``."""

    name: str


class SyncTree(NamedTuple):
    """Bring a file, or a directory and all below it, onto the volume (fsync of each): a full
    volume and a lost write speak here. Answers ``Contents``."""

    path: str


class Contents(NamedTuple):
    """What lies in a tree. ``astray`` are the symlinks that lead into it by an absolute path,
    ``outward`` those that lead out of it by a relative one: they lead nowhere once it is moved.
    ``entries``: of the directory itself. ``complete``: all of it was looked at."""

    files: int
    bytes: int
    astray: tuple[str, ...] = ()
    outward: tuple[str, ...] = ()
    entries: int = 0
    complete: bool = True


class Measure(NamedTuple):
    """Answers the ``Contents`` of a tree as they are now, without bringing them anywhere. Looks
    for about ``seconds``; what was not looked at by then is left out."""

    path: str
    seconds: float = math.inf


class CopyTree(NamedTuple):
    """Copy a tree into a place that is free: nothing that still writes to the old one reaches
    the copy."""

    source: str
    target: str


class RemoveTree(NamedTuple):
    """Remove a file, or a directory and all below it, for at most ``seconds``. Answers whether
    nothing is left. Who asks has renamed it away before, so that no old name leads to it."""

    path: str
    seconds: float


class ProveDeath(NamedTuple):
    """Answers whether that process is provably gone (bool)."""

    process: ProcessFacts


class SeeLife(NamedTuple):
    """Answers whether the life lock of that session is free."""

    life: Life
    session: str


class CallScript(NamedTuple):
    """Run a Lua script on the Redis that keeps ``key``. Answers its reply: a list of bytes,
    integers and lists.

    Fails with a ``LeaseError``: ``AuthorityUnreachable`` leaves the outcome unknown, and the call
    may still be executed later, when everybody has forgotten it; after any other, nothing was
    done.
    """

    script: str
    key: str
    arguments: tuple[str | bytes | int, ...]


class Sleep(NamedTuple):
    """Let time pass."""

    seconds: float


class Listen(NamedTuple):
    """Let time pass until ``bell`` rings, at most ``seconds``. Whoever grants next is expected
    among the sessions ``ahead``. Answers a ``Heard``."""

    bell: Bell
    ahead: tuple[str, ...]
    seconds: float


class EnterTurn(NamedTuple):
    """Wait for ``turn``; 0 seconds: only if it is free. Answers whether it was had; then
    ``leave`` it."""

    turn: Turn
    seconds: float


Effect: TypeAlias = (
    Symlink
    | ReadLink
    | OpenDirectory
    | ListDirectory
    | MakeDirectory
    | Rename
    | HardLink
    | Unlink
    | RemoveDirectory
    | CreateFile
    | SetCounter
    | ReadCounter
    | WriteNew
    | WriteDurably
    | ReadFile
    | LookAt
    | SyncTree
    | Measure
    | CopyTree
    | RemoveTree
    | ProveDeath
    | SeeLife
    | CallScript
    | Sleep
    | Listen
    | EnterTurn
)

Steps: TypeAlias = Generator[Effect, Any, T]
"""A protocol under way: yields effects, returns a value of type T."""
