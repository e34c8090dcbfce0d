"""What is asked of an authority, and what it answers. Values only.

An expected refusal is a value here; what nobody expects is an exception.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Claim:
    """One subtree, volume-relative: ``path`` as shown, ``key`` as compared; ``""`` is all of it.

    The key travels beside the path because NFC normalisation depends on the Unicode tables of
    the Python that computed it: two replicas that each computed it could come to different
    tables.
    """

    path: str
    key: str


@dataclass(frozen=True, slots=True)
class Client:
    """The process that uses a lease, where it is not the session's own: proof of death must
    cover it too. Pid and start time (clock ticks), as seen in the session's pid namespace."""

    pid: int
    start_time: int


@dataclass(frozen=True, slots=True)
class Acquire:
    """Ask for all ``claims`` together. With ``wait`` false: only if it can be granted at once."""

    claims: tuple[Claim, ...]
    exclusive: bool
    owner: str
    wait: bool = True
    reason: str = ""
    client: Client | None = None


@dataclass(frozen=True, slots=True)
class Inspect:
    """How that request stands now; costs nothing."""

    token: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop waiting, or give back what was granted meanwhile."""

    token: int


@dataclass(frozen=True, slots=True)
class Release:
    token: int


@dataclass(frozen=True, slots=True)
class Downgrade:
    token: int


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Undo whatever an interrupted ``Acquire`` of this session may have got."""


Question: TypeAlias = Acquire | Inspect | Cancel | Release | Downgrade | GiveBack


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody in the way, in words for a person. ``since`` in seconds since the epoch, by the
    holder's own wall clock; only to be shown."""

    session: str
    token: int
    paths: tuple[str, ...]
    exclusive: bool
    granted: bool
    since: float
    endpoint: str
    worker: str
    host: str
    pid: int
    reason: str

    def __str__(self) -> str:
        who = f"worker {self.worker}" if self.worker else f"process {self.pid} on {self.host}"
        return f"{who} of endpoint {self.endpoint}" if self.endpoint else who


@dataclass(frozen=True, slots=True)
class Granted:
    token: int
    exclusive: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queued. ``ahead`` names who is in the way, oldest first; empty during the grace of a new
    log."""

    token: int
    ahead: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class Busy:
    """Not granted at once, and nothing was queued."""

    ahead: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class Deadlocked:
    """Waiting would close a cycle; nothing was queued."""

    cycle: tuple[int, ...]
    ahead: tuple[Holder, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The request is over, as asked."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The session or the lease is gone, and why."""

    reason: str


Answer: TypeAlias = Granted | Waiting | Busy | Deadlocked | Ended | Lost


@dataclass(frozen=True, slots=True)
class Ask:
    """Put a question to the authority; resumed with its answer."""

    question: Question


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass, at most ``seconds``, or until something about ``token`` changed."""

    token: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Tell the user something that takes no answer (a long wait)."""

    text: str


Step: TypeAlias = Ask | Wait | Notice


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a driver hands back: the time now (boottime), and the answer if one was asked for."""

    now: float
    answer: Answer | None = None


Flow: TypeAlias = Generator[Step, Resumed, T]
"""A lease operation under way."""
