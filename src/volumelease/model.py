"""What is asked of an authority, and what it answers. Values only.

An expected refusal is a value here; what nobody expects is an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")


class Claim(NamedTuple):
    """One subtree, volume-relative: ``path`` as shown, ``key`` as compared; ``""`` is all of it.

    The key travels beside the path because NFC normalisation depends on the Unicode tables of
    the Python that computed it: two replicas that each computed it could come to different
    tables.
    """

    path: str
    key: str


class Client(NamedTuple):
    """The process that uses a lease, where it is not the session's own: proof of death must
    cover it too. Pid and start time (clock ticks), as seen in the session's pid namespace."""

    pid: int
    start_time: int


class Acquire(NamedTuple):
    """Ask for all ``claims`` together. With ``wait`` false: only if it can be granted at once."""

    claims: tuple[Claim, ...]
    exclusive: bool
    owner: str
    wait: bool = True
    reason: str = ""
    client: Client | None = None


class Inspect(NamedTuple):
    """How that request stands now; costs nothing."""

    token: int


class Cancel(NamedTuple):
    """Stop waiting, or give back what was granted meanwhile."""

    token: int


class Release(NamedTuple):
    token: int


class Downgrade(NamedTuple):
    token: int


class GiveBack(NamedTuple):
    """Undo whatever that interrupted ``Acquire`` (the same object) got or may yet get."""

    acquire: Acquire


class Draft(NamedTuple):
    """Where a publish is written. ``unique`` is of this draft alone, never of its lease: a late
    write of one draft must not be able to reach another. ``path`` is free until its writer makes
    it a file or a directory."""

    token: int
    target: Claim
    unique: str
    path: str


class Prepare(NamedTuple):
    """Make the place for a draft of ``target`` under the lease ``token``. ``resume``: begin with
    what a dead writer of the same target left, and leave it to the next one in turn. ``source``:
    move in what lies at that path of the volume."""

    token: int
    target: Claim
    resume: bool = False
    source: str = ""


class Publish(NamedTuple):
    """Make a draft visible in one step, if the lease is still live."""

    draft: Draft


class Discard(NamedTuple):
    """Remove a draft that was not published; ``back_to``: move it back to that path instead, and
    if something is there by now, leave it where it is."""

    draft: Draft
    back_to: str = ""


Question: TypeAlias = (
    Acquire | Inspect | Cancel | Release | Downgrade | GiveBack | Prepare | Publish | Discard
)


class Holder(NamedTuple):
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
    breaking: bool = False
    """Somebody breaks this lease: it ends once its holder had the time to notice."""

    def __str__(self) -> str:
        return in_words(self.worker, self.endpoint, self.pid, self.host)


def in_words(worker: str, endpoint: str, pid: int, host: str) -> str:
    """A process of somebody else, for a person."""
    who = f"worker {worker}" if worker else f"process {pid} on {host}"
    return f"{who} of endpoint {endpoint}" if endpoint else who


class Granted(NamedTuple):
    token: int
    exclusive: bool


class Waiting(NamedTuple):
    """Queued. ``ahead`` names who is in the way, oldest first; empty during the grace of a new
    log."""

    token: int
    ahead: tuple[Holder, ...]


class Busy(NamedTuple):
    """Not granted at once, and nothing was queued."""

    ahead: tuple[Holder, ...]


class Deadlocked(NamedTuple):
    """Waiting would close a cycle; nothing was queued."""

    cycle: tuple[int, ...]
    ahead: tuple[Holder, ...]


class Ended(NamedTuple):
    """The request is over, as asked."""


class Prepared(NamedTuple):
    """The place of a draft. ``resumed``: it holds what a dead writer left."""

    draft: Draft
    resumed: bool = False


class Lost(NamedTuple):
    """The session or the lease is gone, and why. ``broken``: somebody broke this lease, and its
    session lives on; until it is let go it stands in everybody's way."""

    reason: str
    broken: bool = False


Answer: TypeAlias = Granted | Waiting | Busy | Deadlocked | Ended | Prepared | Lost


class Ask(NamedTuple):
    """Put a question to the authority; resumed with its answer."""

    question: Question


class Wait(NamedTuple):
    """Let time pass, at most ``seconds``, or until something about ``token`` changed."""

    token: int
    seconds: float


class Notice(NamedTuple):
    """Tell the user something that takes no answer (a long wait)."""

    text: str


class Call(NamedTuple):
    """Do what may block on the volume besides a question: find a path, open a session. Resumed
    with the value it returns."""

    work: Callable[[], Any]


Step: TypeAlias = Ask | Wait | Notice | Call


class Resumed(NamedTuple):
    """What a driver hands back: the time now (boottime), the answer if one was asked for, and
    the value of a call."""

    now: float
    answer: Answer | None = None
    value: Any = None


Flow: TypeAlias = Generator[Step, Resumed, T]
"""A lease operation under way."""
