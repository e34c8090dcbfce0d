"""The records of the log: the only things that change the table.

Every worker of every version of one format must read the same meaning into the same record, so
adding a kind, or changing what ``Table.apply`` makes of one, is a new format version.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from volumelease.host import ProcessFacts
from volumelease.model import Claim, Client

FORMAT_VERSION: Final = 1
"""Stored in the volume's identity; a volume of a newer format is refused, not guessed at."""

SEGMENT_ENTRIES: Final = 256
CLOSING_ENTRIES: Final = 240
"""From this index on, a segment takes nothing but ``Next``. Whatever else lies there takes its
place and has no effect; the places go on beyond the last index until one is valid, so that no
garbage can wedge the log."""


class SessionFacts(NamedTuple):
    """Who a session says it is: for people, and for proof of death on the same host."""

    process: ProcessFacts
    endpoint: str = ""
    worker: str = ""
    datacenter: str = ""
    version: str = ""
    keeper: bool = False
    """Declared after its life lock was taken: whoever uses its leases dies with its process, which
    is PID 1 of their pid namespace."""


class Open(NamedTuple):
    """A session begins. Its heartbeat file was beaten before this is committed."""

    facts: SessionFacts


class Request(NamedTuple):
    """Ask for all ``claims`` at once. Its index is the lease's token."""

    claims: tuple[Claim, ...]
    exclusive: bool
    owner: str
    client: Client | None = None
    reason: str = ""


class Cancel(NamedTuple):
    """Stop waiting; of a request that was granted meanwhile: a release."""

    token: int


class Release(NamedTuple):
    """Let go of a granted lease."""

    token: int


class Downgrade(NamedTuple):
    """Turn an exclusive lease into a shared one without letting go."""

    token: int


class Expire(NamedTuple):
    """End another session whose heartbeat stood still, or whose death is proven."""

    session: str
    proof: str = ""


class Close(NamedTuple):
    """The session ends itself; whatever it held or waited for ends with it."""


class Publish(NamedTuple):
    """THE decision that ``source`` becomes ``target``: valid only under a live exclusive lease."""

    token: int
    source: str
    target: Claim


class Published(NamedTuple):
    """The publish of that index was applied, or (``failure``) given up."""

    publish: int
    failure: str = ""


class Breaking(NamedTuple):
    """Somebody breaks a lease: publishes under it are void from here on."""

    token: int
    reason: str


class Broken(NamedTuple):
    """The broken lease ends; its holder had the time to notice."""

    token: int


class Ready(NamedTuple):
    """The grace of a new log ends: whoever held leases under an older one has lost them."""


class Moved(NamedTuple):
    """The last record that means anything: another authority grants from here on. Its author holds
    the whole volume exclusively, and everything that was published is visible."""

    authority: str


class Next(NamedTuple):
    """Elect the draft that becomes the next segment. Changes nothing in the table."""

    draft: str


Body: TypeAlias = (
    Open
    | Request
    | Cancel
    | Release
    | Downgrade
    | Expire
    | Close
    | Publish
    | Published
    | Breaking
    | Broken
    | Ready
    | Moved
    | Next
)


class Entry(NamedTuple):
    """A record with its author. ``(author, number)`` is its identity: a writer recognises its
    own entry by it after an answer was lost. ``wall`` (seconds since the epoch, the author's
    clock) is shown to people and never compared."""

    author: str
    number: int
    wall: float
    body: Body
