"""The daemon's clients: processes, each known by its pid and start time and seen by its pidfd."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from volumelease.errors import LeaseError
from volumelease.host import provably_dead, this_process
from volumelease.model import Acquire, Claim, Client, Draft
from volumelease.tallies import Tally

_CREDENTIALS: Final = struct.Struct("3i")
_MOST_GIVEN_BACK: Final = 1000


class NotAdmitted(LeaseError):
    """That process can't be a client of this daemon."""


class Held:
    """A request of a client, waiting or granted."""

    __slots__ = (
        "acquire",
        "adopted",
        "asked_at",
        "drafts",
        "granted",
        "granted_at",
        "key",
        "lost",
        "paths",
    )

    def __init__(
        self, acquire: Acquire | None, key: str, paths: tuple[tuple[str, Claim], ...]
    ) -> None:
        self.acquire = acquire
        self.key = key
        self.paths = paths
        """As it was asked for by names instead of claims; they must still lead there."""
        self.granted = False
        self.lost = ""
        self.adopted = False
        """Whether an earlier daemon made it, and the client has not claimed it here."""
        self.drafts: set[str] = set()
        """The ``unique`` of each that was made under it, published ones too."""
        self.asked_at = self.granted_at = time.monotonic()

    def grant(self, tally: Tally) -> None:
        """Its client has the lease from now on."""
        if not self.granted:
            self.granted, self.granted_at = True, time.monotonic()
            self._note(tally, "acquired")

    def end(self, tally: Tally, loss: str) -> None:
        """Its client has let go of it, or it was lost. Limit: why a client stops waiting is not
        known here; all of that counts as cancelled."""
        if self.granted:
            claims = self.acquire.claims if self.acquire is not None else ()
            tally.ended(claims, self.lost or loss, time.monotonic() - self.granted_at)
        else:
            self._note(tally, "cancelled")

    def refuse(self, tally: Tally) -> None:
        """It came to an error."""
        self._note(tally, "error")

    def _note(self, tally: Tally, outcome: str) -> None:
        scope = tally.scope(self.acquire.claims if self.acquire is not None else ())
        seconds = time.monotonic() - self.asked_at
        tally.note((("acquire_duration_seconds", scope, outcome), seconds))


class Made(NamedTuple):
    """A draft of a client. ``kept``: not to be deleted with its client, for another may resume it,
    or it was moved in. ``inherited``: made under an earlier daemon, so that nobody knows whether it
    was published."""

    volume: str
    draft: Draft
    kept: bool
    inherited: bool


class User:
    """One process that uses leases. Its fields change under ``lock`` only.

    ``tell`` sends it an event; ``gone``: it died or left, and keeps nothing.
    """

    def __init__(self, facts: Client, descriptor: int, name: str) -> None:
        self.facts = facts
        self.descriptor = descriptor
        self.name = name
        self.lock = threading.RLock()
        self.held: dict[tuple[str, int], Held] = {}
        self.asking: dict[tuple[str, str], Acquire | None] = {}
        """Requests under way by their volume and key; None: nobody waits for the answer any
        more."""
        self.given_back: dict[tuple[str, str], None] = {}
        """The last that were given back before they began, so that they never do."""
        self.drafts: dict[str, Made] = {}
        self.naming: dict[str, tuple[int, set[int]]] = {}
        """Of a reclaim in pages, by volume: how many came, and the tokens they named."""
        self.publishing: set[str] = set()
        """Drafts whose publish is under way."""
        self.gone = False
        self.claimed = True
        """False for one that an earlier daemon knew and that has not come back yet."""
        self.tell: Callable[[str, dict[str, object]], None] = lambda event, about: None

    @property
    def owner(self) -> str:
        """What tells its owners from those of other clients."""
        return f"{self.facts.pid}.{self.facts.start_time}"

    def never(self, volume: str, key: str) -> None:
        """The request of that key is not to begin any more."""
        self.given_back[(volume, key)] = None
        if len(self.given_back) > _MOST_GIVEN_BACK:
            del self.given_back[next(iter(self.given_back))]

    def tokens(self, volume: str) -> list[int]:
        return [token for name, token in list(self.held) if name == volume]

    def has_something(self, volume: str) -> bool:
        with self.lock:
            return bool(self.tokens(volume)) or any(
                made.volume == volume for made in self.drafts.values()
            )

    def is_dead(self) -> bool:
        """Whether that very process has ended, proven by a pidfd."""
        return provably_dead(this_process()._replace(**self.facts._asdict()), this_process())

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Pid and uid of the process at the other end, when it connected (SO_PEERCRED). Errors:
    ``NotAdmitted``."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    if pid <= 0:
        raise NotAdmitted(
            "the daemon can't see your process: it is in another pid namespace",
            advice="Run a daemon in the same container",
        )
    if uid not in (os.geteuid(), 0):
        raise NotAdmitted(
            f"the daemon serves user {os.geteuid()}, and you are user {uid}",
            advice="Run a daemon as that user",
        )
    return pid, uid


def meet(pid: int, name: str) -> User:
    """The process with that pid. Limit: whoever died between connecting and this, and whose pid
    was given away meanwhile, is taken for another; it has nothing yet. Errors: ``NotAdmitted``
    where its death could not be seen."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, AttributeError) as error:
        raise NotAdmitted(
            f"the daemon can't watch process {pid}: {error}",
            advice="It needs Linux 5.3 and a sandbox that permits pidfd_open",
        ) from None
    facts = this_process(pid)
    if not facts.start_time:
        os.close(descriptor)
        raise NotAdmitted(
            f"the daemon can't tell when process {pid} began: it is not in its /proc",
            advice="Mount /proc where the daemon runs, without hidepid, or run it as root",
        )
    return User(Client(pid, facts.start_time), descriptor, name)


def find(facts: Client) -> User | None:
    """That very process, if it lives: of what an earlier daemon knew."""
    try:
        user = meet(facts.pid, "")
    except NotAdmitted:
        return None
    if user.facts != facts:
        user.close()
        return None
    return user
