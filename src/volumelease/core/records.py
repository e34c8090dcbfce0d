"""The records of the log: the only things that change the table.

Every worker of every version of one format must read the same meaning into the same record, so
adding a kind, or changing what ``Table.apply`` makes of one, is a new format version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from volumelease.host import ProcessFacts
from volumelease.model import Claim, Client

FORMAT_VERSION: Final = 1
"""Stored in the volume's identity; a volume of a newer format is refused, not guessed at."""

SEGMENT_ENTRIES: Final = 256
CLOSING_ENTRIES: Final = 240
"""From this index on, a segment takes nothing but ``Next``: sixteen places, so that garbage in
one of them can't wedge the log."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """Who a session says it is: for people, and for proof of death on the same host."""

    process: ProcessFacts
    endpoint: str = ""
    worker: str = ""
    datacenter: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Open:
    """A session begins. Its heartbeat file was beaten before this is committed."""

    facts: SessionFacts


@dataclass(frozen=True, slots=True)
class Request:
    """Ask for all ``claims`` at once. Its index is the lease's token."""

    claims: tuple[Claim, ...]
    exclusive: bool
    owner: str
    client: Client | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop waiting; of a request that was granted meanwhile: a release."""

    token: int


@dataclass(frozen=True, slots=True)
class Release:
    """Let go of a granted lease."""

    token: int


@dataclass(frozen=True, slots=True)
class Downgrade:
    """Turn an exclusive lease into a shared one without letting go."""

    token: int


@dataclass(frozen=True, slots=True)
class Expire:
    """End another session whose heartbeat stood still, or whose death is proven."""

    session: str
    proof: str = ""


@dataclass(frozen=True, slots=True)
class Close:
    """The session ends itself; whatever it held or waited for ends with it."""


@dataclass(frozen=True, slots=True)
class Publish:
    """THE decision that ``source`` becomes ``target``: valid only under a live exclusive lease."""

    token: int
    source: str
    target: Claim


@dataclass(frozen=True, slots=True)
class Published:
    """The publish of that index was applied, or (``failure``) given up."""

    index: int
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Breaking:
    """Somebody breaks a lease: publishes under it are void from here on."""

    token: int
    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The broken lease ends; its holder had the time to notice."""

    token: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The grace of a new log ends: whoever held leases under an older one has lost them."""


@dataclass(frozen=True, slots=True)
class Next:
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
    | Next
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with its author. ``(author, number)`` is its identity: a writer recognises its
    own entry by it after an answer was lost. ``wall`` (seconds since the epoch, the author's
    clock) is shown to people and never compared."""

    author: str
    number: int
    wall: float
    body: Body
