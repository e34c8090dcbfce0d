"""The volumes of this process: found once, each with one live session."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.cleaning import DEFAULT_RETENTION_SECONDS
from volumelease.authorities.volume.layout import Layout
from volumelease.clock import Clock, SystemClock
from volumelease.core.records import SessionFacts
from volumelease.drivers.crew import Crew
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Errand, Patience, Performer, run_flow
from volumelease.errors import (
    AuthorityUnreachable,
    LeaseError,
    VolumeNotFound,
)
from volumelease.host import ProcessFacts, this_process
from volumelease.paths.canonical import VolumePath, canonical
from volumelease.paths.locate import VolumeRoot, locate, refuse_nested
from volumelease.paths.resolve import text_of
from volumelease.settings import Settings, load
from volumelease.tallies import Tally, keys_of
from volumelease.wire.identity import Identity

from . import choosing, entering, opening
from .blocks import Block
from .guarding import Guarding
from .hosting import Hosting
from .order import Order
from .owners import Held, Owner, Owners
from .ringing import ALL_BELLS
from .talking import Conversation, Hosted

if TYPE_CHECKING:
    from volumelease.watch.handoff import Handoff

T = TypeVar("T")

VERSION: Final = "0.1.0"

ANSWER_SECONDS: Final = 5.0
"""How much longer than the caller's timeout the calls on the volume may take together before the
caller is told that the volume does not answer."""


def _say(text: str) -> None:
    import logging

    logging.getLogger("volumelease").warning("%s", text)


class Surroundings(NamedTuple):
    """Everything a process of ours takes from outside; tests and tools pass their own."""

    settings: Settings
    process: ProcessFacts
    clock: Clock
    performer: Performer
    report: Any = _say
    retention_seconds: float = DEFAULT_RETENTION_SECONDS
    bells: frozenset[str] = ALL_BELLS
    handoff: Handoff | None = None
    daemon: bool = False
    """Whether a daemon hosts the sessions where one is there."""
    provable: bool = True
    """False: the death of this process alone must prove nothing, because a session of it may be
    gone on with by another one."""
    keeps_life: bool = False
    """Whether everybody who uses leases of this process dies with it, because it is PID 1 of
    their pid namespace: then a byte lock of it that is free proves that they all have ended."""

    @classmethod
    def of_this_process(cls) -> Surroundings:
        process = this_process()
        settings = load(os.environ)
        return cls(
            settings=settings,
            process=process,
            clock=SystemClock(),
            performer=Files(process),
            handoff=choosing.handoff(settings, process.hostname),
        )


class Volumes:
    """Finds volumes and hosts their sessions. One for the process (``process``)."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.owners = Owners()
        self.guarding: Guarding | None = None
        self._told: set[str] = set()
        self._patience = Patience()
        self._crews: dict[str, Crew] = {}
        self._spelled: dict[str, VolumeRoot] = {}
        """The volumes in use, by what their paths begin with."""
        self._identities: dict[str, Identity] = {}
        self._sessions: dict[str, Hosting[Any]] = {}
        self._tallies: dict[str, Tally] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._closed = False

    def find(self, path: str | bytes | os.PathLike[Any]) -> tuple[VolumeRoot, VolumePath]:
        """The volume that holds ``path``, and the canonical name of the path on it.

        Errors: ``PathInvalid``, ``VolumeNotFound``, ``VolumeUnsuitable``.
        """
        text = text_of(path)
        plain = text.startswith("/") and "//" not in text and "/." not in text
        root = self._known_root(text if plain else os.path.abspath(text))
        if root is not None:
            try:
                return root, canonical(text, root)
            except VolumeNotFound:  # a link leads elsewhere
                pass
        root = locate(path, explicit=self.surroundings.settings.volume)
        return root, canonical(path, root)

    def _known_root(self, spelled: str) -> VolumeRoot | None:
        """The nearest volume in use that the path seems to be on: spares asking every directory
        above it. A nearer one can only be a volume inside a volume, and who finds that refuses it
        (``locate``)."""
        best: VolumeRoot | None = None
        for name, root in list(self._spelled.items()):
            inside = spelled.startswith(name) and spelled[len(name) : len(name) + 1] in ("", "/")
            if inside and (best is None or len(root.real_root) > len(best.real_root)):
                best = root
        return best

    def tails(self) -> dict[str, int]:
        """Where each log in use went on, as far as this process knew, by the root's real path."""
        return {
            root: self._sessions[identity.id].tail()
            for root, identity in list(self._identities.items())
            if identity.id in self._sessions
        }

    def undisturbed(
        self, root: VolumeRoot, hosted: Hosted, tails: dict[str, int], token: int
    ) -> bool:
        """Whether the lease was granted by the very next entry of the log after ``tails`` were
        read: then nobody who had a lease there can have moved its paths since, and they need no
        second look (a tenth of what a lease costs)."""
        assert isinstance(hosted, Hosting)
        after = hosted.tail()
        return tails.get(root.real_root) == token == after - 1

    def leads_there(
        self, paths: tuple[Any, ...], root: VolumeRoot, displays: tuple[str, ...]
    ) -> bool:
        """Whether each path still has the name on the volume that it had before."""
        try:
            for path, display in zip(paths, displays, strict=True):
                if canonical(path, root).display != display:
                    return False
        except LeaseError:
            return False
        return True

    def identity(self, root: VolumeRoot) -> Identity:
        """The identity of that volume, made now if it has none.

        Errors: ``VolumeUnsuitable`` for a mount that can't carry the log, and for one inside a
        volume, ``SettingsMismatch``.
        """
        refuse_nested(root)  # again: somebody may have made one around it since it was found
        identity = choosing.existing(root, self.surroundings)
        if identity is None:
            identity = self.found(root, ready=False)
            choosing.agree(root.root, identity, self.surroundings.settings)
        return identity

    def found(
        self,
        root: VolumeRoot,
        *,
        ready: bool,
        ttl: float | None = None,
        authority: choosing.Authority | None = None,
    ) -> Identity:
        """Make it a volume; without ``authority``, with that of ``choosing.choose``. Errors: those
        of ``identity``.

        Limit: of an outer and an inner one that are made in one moment, both can come to be; then
        the inner one is refused to whoever looks for it from then on.
        """
        refuse_nested(root)
        settings = self.surroundings.settings
        wanted = founding.Founding(
            id=os.urandom(8).hex(),
            ttl=ttl or settings.ttl or founding.DEFAULT_TTL_SECONDS,
            created=self.surroundings.clock.wall(),
            ready=ready,
        )
        authority = authority or choosing.choose(root, settings)
        identity, ours = choosing.found(root, wanted, authority, self.surroundings)
        refuse_nested(root)  # the outer one may have been made meanwhile
        if ours and not ready:
            self.surroundings.report(
                f"{root.root} is now a volume. Its first lease is granted after "
                f"{identity.ttl + 1:.0f} s, in case leases of a deleted log still live "
                f"(volumelease init makes a new volume without that wait)"
            )
        return identity

    def session(self, root: VolumeRoot) -> Hosting[Any]:
        """The live session of this process on that volume; a new one if the last was lost. One
        that hangs while it is opened keeps nobody from another volume."""
        known = self.hosted(root)
        if known is not None:
            return known
        with self._lock_of(root.real_root):
            known = self.hosted(root)
            if known is not None:
                return known
            self._refuse_when_closed()
            identity = self.identity(root)
            with self._lock_of(identity.id):
                hosted = self._session_on(root, identity)
            self._guard(root, hosted)
            if self._closed:
                self.close()
                self._refuse_when_closed()
            return hosted

    def _lock_of(self, name: str) -> threading.Lock:
        """By the root's path, and within that by the identity: there may be several ways to one
        volume, and nobody knows before that they lead there."""
        return self._locks.setdefault(name, threading.Lock())

    def _session_on(self, root: VolumeRoot, identity: Identity) -> Hosting[Any]:
        hosted = choosing.by_daemon(
            root, identity, self.surroundings, self.tally_of(identity)
        ) or self._host(root, identity)
        self._identities[root.real_root] = identity
        known = self.hosted(root)
        if known is not None:
            return known  # the same volume through another mount point
        hosted = self._opened(root, hosted)
        for name in (root.root, root.real_root):
            self._spelled[name.rstrip("/")] = root
        self._sessions[self._identities[root.real_root].id] = hosted
        return hosted

    def _guard(self, root: VolumeRoot, hosted: Hosting[Any]) -> None:
        if self.guarding is not None:
            self.guarding.arm(root, self.name_of(root), hosted)

    def tell_once(self, text: str) -> None:
        """Tell the user something, the first time."""
        if text not in self._told:
            self._told.add(text)
            self.surroundings.report(text)

    def adopt(self, root: VolumeRoot, identity: Identity, hosted: Hosting[Any]) -> bool:
        """Use an open session from here on, unless there is one already."""
        with self._lock_of(identity.id):
            self._identities[root.real_root] = identity
            if self.hosted(root) is None:
                self._spelled[root.real_root.rstrip("/")] = root
                self._sessions[identity.id] = hosted
            return self._sessions.get(identity.id) is hosted

    def _host(self, root: VolumeRoot, identity: Identity) -> Hosting[Any]:
        tally = self.tally_of(identity)
        return choosing.host(root, identity, self.facts(), self.surroundings, tally)

    def _opened(self, root: VolumeRoot, hosted: Hosting[Any]) -> Hosting[Any]:
        def anew(moved: bool) -> Hosting[Any]:
            if moved:
                self._identities[root.real_root] = self.identity(root)
            return self._host(root, self._identities[root.real_root])

        here = self.surroundings
        return opening.opened(hosted, anew, here.clock, here.report)

    def name_of(self, root: VolumeRoot) -> str:
        """What tells volumes apart inside this process: the same for all mount points of one."""
        identity = self._identities.get(root.real_root)
        return root.real_root if identity is None else identity.id

    def log_of(self, root: VolumeRoot) -> Layout | None:
        """Where the log of a volume in use lies; None where a Redis keeps its leases."""
        identity = self._identities.get(root.real_root)
        if identity is None or identity.authority != "volume":
            return None
        return Layout.of(root.real_root, identity)

    def live(self, root: VolumeRoot) -> Hosted | None:
        """The live session of this process on that volume, if it has one. Never blocks."""
        return self.hosted(root)

    def hosted(self, root: VolumeRoot) -> Hosting[Any] | None:
        identity = self._identities.get(root.real_root)
        known = self._sessions.get(identity.id) if identity else None
        return known if known is not None and not known.over else None

    def tally_of(self, identity: Identity) -> Tally:
        """One for all sessions of that volume in this process."""
        roots = keys_of(self.surroundings.settings.roots)
        return self._tallies.setdefault(identity.id, Tally(roots))

    def facts(self) -> SessionFacts:
        settings, process = self.surroundings.settings, self.surroundings.process
        return SessionFacts(
            process=process if self.surroundings.provable else process.without_proof(),
            endpoint=settings.endpoint,
            worker=settings.worker,
            datacenter=settings.datacenter,
            version=VERSION,
        )

    def _refuse_when_closed(self) -> None:
        """A request that still waits must not ask again with a session that nobody will end."""
        if self._closed:
            raise LeaseError("this process has given up its leases", advice="Start a new process")

    def enter(self, order: Order, owner: Owner, around: tuple[Held, ...]) -> Block:
        """Begin a block in the calling thread; see ``entering.enter``.

        Without a timeout no other thread takes part, which spares two switches of threads (70
        microseconds, a fifth of a commit). Errors: those of ``volume_lease``.
        """

        def begin(errand: Errand | None) -> Block:
            talk = Conversation(self.surroundings.clock, errand)
            return run_flow(entering.enter(order, self, owner, around, talk), talk)

        if order.timeout is None:
            return begin(None)
        return self.within(order.timeout, begin, undo=lambda block: block.lease.release())

    def within(
        self,
        timeout: float | None,
        work: Callable[[Errand | None], T],
        undo: Callable[[T], Any] = lambda _: None,
    ) -> T:
        """The result of ``work``, which may take ``timeout`` seconds and what a call on the volume
        may take besides; without a timeout in the calling thread. ``undo`` gets a result that
        came too late. Errors: ``AuthorityUnreachable``.
        """
        seconds = self.patience(timeout)
        if seconds is None:
            return work(None)
        try:
            return self._patience.call(work, seconds, undo)
        except TimeoutError as error:
            if isinstance(error, LeaseError):
                raise
            raise self.no_answer(seconds) from None

    def patience(self, timeout: float | None) -> float | None:
        """How long to wait for what may take ``timeout`` seconds and what a call on the volume
        may take besides; None: for ever."""
        return None if timeout is None else timeout + ANSWER_SECONDS

    def no_answer(self, seconds: float) -> AuthorityUnreachable:
        """The error when that was too long."""
        return AuthorityUnreachable(
            f"the volume did not answer in {seconds:.1f} s", root=None, seconds=seconds
        )

    def crew(self, path: str | bytes | os.PathLike[Any]) -> Crew:
        """The threads that do for event loops what may block on the volume of ``path``: each
        volume in use has its own, so that one that hangs holds up nobody else. Errors:
        ``PathInvalid``."""
        return self.crew_on(self._known_root(os.path.abspath(text_of(path))))

    def crew_in_use(self, path: str) -> Crew | None:
        """The same; None where no volume in use seems to be."""
        root = self._known_root(os.path.abspath(path))
        return None if root is None else self.crew_on(root)

    def crew_on(self, root: VolumeRoot | None) -> Crew:
        """The same for a volume that was found already."""
        name = "" if root is None else root.real_root
        return self._crews.get(name) or self._crews.setdefault(name, Crew())

    def close(self) -> None:
        """End all sessions, for good: what they hold is free at once."""
        self._closed = True
        for hosted in list(self._sessions.values()):
            with suppress(AuthorityUnreachable):
                hosted.close()
        self._sessions.clear()
