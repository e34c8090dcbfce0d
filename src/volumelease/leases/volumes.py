"""The volumes of this process: found once, each with one live session."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.segments import DEFAULT_RETENTION_SECONDS
from volumelease.clock import Clock, SystemClock
from volumelease.core.records import SessionFacts
from volumelease.drivers.files import Files
from volumelease.drivers.threads import (
    Abandoned,
    Errand,
    Monitor,
    Patience,
    Performer,
    run_flow,
)
from volumelease.errors import (
    AuthorityUnreachable,
    LeaseError,
    SettingsMismatch,
    VolumeNotFound,
    VolumeUnsuitable,
)
from volumelease.host import ProcessFacts, this_process
from volumelease.model import Acquire, Granted
from volumelease.paths.canonical import VolumePath, canonical
from volumelease.paths.locate import VolumeRoot, locate
from volumelease.paths.mounts import judge
from volumelease.paths.resolve import text_of
from volumelease.settings import Settings, load
from volumelease.wire.identity import Identity

from .flows import SessionEnded, acquire
from .hosting import HostedSession
from .owners import Owners
from .ringing import ALL_BELLS, Bells

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

    @classmethod
    def of_this_process(cls) -> Surroundings:
        process = this_process()
        return cls(
            settings=load(os.environ),
            process=process,
            clock=SystemClock(),
            performer=Files(process),
        )


class Volumes:
    """Finds volumes and hosts their sessions. One for the process (``of_this_process``)."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.owners = Owners()
        self._patience = Patience()
        self._spelled: dict[str, VolumeRoot] = {}
        """The volumes in use, by what their paths begin with."""
        self._identities: dict[str, Identity] = {}
        self._sessions: dict[str, HostedSession] = {}
        self._lock = threading.Lock()
        self._closed = False

    def find(self, path: str | bytes | os.PathLike[Any]) -> tuple[VolumeRoot, VolumePath]:
        """The volume that holds ``path``, and the canonical name of the path on it.

        Errors: ``PathInvalid``, ``VolumeNotFound``, ``VolumeUnsuitable``.
        """
        root = self._known_root(os.path.abspath(text_of(path)))
        if root is not None:
            try:
                return root, canonical(path, root)
            except VolumeNotFound:  # a link leads elsewhere
                pass
        root = locate(path, explicit=self.surroundings.settings.volume)
        return root, canonical(path, root)

    def _known_root(self, spelled: str) -> VolumeRoot | None:
        """The nearest volume in use that the path seems to be on: spares asking every directory
        above it. A volume inside a volume is refused when it is made, so no nearer one can have
        come since."""
        best: VolumeRoot | None = None
        for name, root in self._spelled.items():
            inside = spelled.startswith(name) and spelled[len(name) : len(name) + 1] in ("", "/")
            if inside and (best is None or len(root.real_root) > len(best.real_root)):
                best = root
        return best

    def tails(self) -> dict[str, int]:
        """Where each log in use went on, as far as this process knew, by the root's real path."""
        return {
            root: self._sessions[identity.id].session.replica.next_index
            for root, identity in self._identities.items()
            if identity.id in self._sessions
        }

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

    def ask(
        self,
        question: Acquire,
        root: VolumeRoot,
        shown: str,
        timeout: float | None,
        errand: Errand | None,
    ) -> tuple[HostedSession, Granted | None]:
        """Acquire from the session of ``root``; None if that was lost before the grant.

        Errors: those of ``flows.acquire`` and ``session``.
        """
        if errand is not None and errand.abandoned:  # looked at after the owner's name was
            raise Abandoned
        hosted = self.session(root)
        flow = acquire(question, shown, self.surroundings.clock.boottime(), timeout)
        got = run_flow(flow, hosted.talk(errand))
        return hosted, None if isinstance(got, SessionEnded) else got

    def identity(self, root: VolumeRoot) -> Identity:
        """The identity of that volume, made now if it has none.

        Errors: ``VolumeUnsuitable`` for a mount that can't carry the log, ``SettingsMismatch``.
        """
        verdict = judge(root.mount)
        if verdict.suitable == "refused":
            raise VolumeUnsuitable(
                f"{root.root} can't carry leases: {verdict.reason}",
                advice="Use a MooseFS, CephFS or local volume",
                root=root.root,
                fstype=root.mount.fstype,
            )
        run = Monitor(self.surroundings.performer).run
        identity = run(founding.read_identity(root.real_root))
        if identity is None:
            if verdict.suitable == "unknown":
                raise VolumeUnsuitable(
                    f"{root.root} is {root.mount.fstype}, which is not proven to order symlinks "
                    f"between hosts: {verdict.reason}",
                    advice=f"If you know that it does: volumelease init {root.root} --force",
                    root=root.root,
                    fstype=root.mount.fstype,
                )
            identity = self.found(root, ready=False)
        self._agree(root, identity)
        return identity

    def found(self, root: VolumeRoot, *, ready: bool, ttl: float | None = None) -> Identity:
        settings = self.surroundings.settings
        wanted = founding.Founding(
            id=os.urandom(8).hex(),
            ttl=ttl or settings.ttl or founding.DEFAULT_TTL_SECONDS,
            created=self.surroundings.clock.wall(),
            ready=ready,
        )
        steps = founding.found(root.real_root, wanted)
        identity, ours = Monitor(self.surroundings.performer).run(steps)
        if ours and not ready:
            self.surroundings.report(
                f"{root.root} is now a volume. Its first lease is granted after "
                f"{identity.ttl + 1:.0f} s, in case leases of a deleted log still live "
                f"(volumelease init makes a new volume without that wait)"
            )
        return identity

    def _agree(self, root: VolumeRoot, identity: Identity) -> None:
        settings = self.surroundings.settings
        if settings.ttl is not None and settings.ttl != identity.ttl:
            raise SettingsMismatch(
                f"VOLUMELEASE_TTL is {settings.ttl:g} s here, but {root.root} was made with "
                f"{identity.ttl:g} s",
                advice=f"Unset VOLUMELEASE_TTL, or set it to {identity.ttl:g}: all workers of a "
                "volume share one ttl",
                setting="VOLUMELEASE_TTL",
                ours=settings.ttl,
                theirs=identity.ttl,
            )
        if settings.authority not in ("auto", identity.authority):
            raise SettingsMismatch(
                f"VOLUMELEASE_AUTHORITY is {settings.authority!r} here, but {root.root} takes "
                f"its leases from {identity.authority!r}",
                advice=f"Unset VOLUMELEASE_AUTHORITY or set it to {identity.authority}",
                setting="VOLUMELEASE_AUTHORITY",
                ours=settings.authority,
                theirs=identity.authority,
            )

    def session(self, root: VolumeRoot) -> HostedSession:
        """The live session of this process on that volume; a new one if the last was lost."""
        known = self._live(root)
        if known is not None:
            return known
        with self._lock:
            known = self._live(root)
            if known is not None:
                return known
            self._refuse_when_closed()
            identity = self.identity(root)
            if identity.authority != "volume":
                raise VolumeUnsuitable(
                    f"{root.root} takes its leases from {identity.authority!r}, which this "
                    "version can't do",
                    advice="Upgrade volumelease here",
                    root=root.root,
                )
            hosted = self._hosted(Layout(root.real_root, identity.id), identity)
            self._identities[root.real_root] = identity
            known = self._live(root)
            if known is not None:
                return known  # the same volume through another mount point
            hosted.open()
            for name in (root.root, root.real_root):
                self._spelled[name.rstrip("/")] = root
            self._sessions[identity.id] = hosted
            if self._closed:
                self.close()
                self._refuse_when_closed()
            return hosted

    def _hosted(self, layout: Layout, identity: Identity) -> HostedSession:
        given = self.surroundings
        boot_id, redis_url = given.process.boot_id, given.settings.redis_url
        return HostedSession(
            identity=identity,
            layout=layout,
            facts=self._facts(),
            clock=given.clock,
            performer=given.performer,
            report=given.report,
            retention_seconds=given.retention_seconds,
            bells=Bells(layout, boot_id, redis_url, given.bells),
        )

    def name_of(self, root: VolumeRoot) -> str:
        """What tells volumes apart inside this process: the same for all mount points of one."""
        identity = self._identities.get(root.real_root)
        return root.real_root if identity is None else identity.id

    def _live(self, root: VolumeRoot) -> HostedSession | None:
        identity = self._identities.get(root.real_root)
        known = self._sessions.get(identity.id) if identity else None
        return known if known is not None and not known.over else None

    def _facts(self) -> SessionFacts:
        settings = self.surroundings.settings
        return SessionFacts(
            process=self.surroundings.process,
            endpoint=settings.endpoint,
            worker=settings.worker,
            datacenter=settings.datacenter,
            version=VERSION,
        )

    def _refuse_when_closed(self) -> None:
        """A request that still waits must not ask again with a session that nobody will end."""
        if self._closed:
            raise LeaseError("this process has given up its leases", advice="Start a new process")

    def within(
        self,
        timeout: float | None,
        work: Callable[[Errand | None], T],
        undo: Callable[[T], Any] = lambda _: None,
    ) -> T:
        """The result of ``work``, which may take ``timeout`` seconds and what a call on the volume
        may take besides. ``undo`` gets a result that came too late.

        Without a timeout it runs in the calling thread, which spares two switches of threads (70
        microseconds, a fifth of a commit). Errors: ``AuthorityUnreachable``.
        """
        if timeout is None:
            return work(None)
        seconds = timeout + ANSWER_SECONDS
        try:
            return self._patience.call(work, seconds, undo)
        except TimeoutError as error:
            if isinstance(error, LeaseError):
                raise
            raise AuthorityUnreachable(
                f"the volume did not answer in {seconds:.1f} s", root=None, seconds=seconds
            ) from None

    def close(self) -> None:
        """End all sessions, for good: what they hold is free at once."""
        self._closed = True
        for hosted in list(self._sessions.values()):
            try:
                hosted.close()
            except AuthorityUnreachable:
                continue
        self._sessions.clear()


class _Process:
    """The volumes of this process, made at the first lease and again after a fork."""

    def __init__(self) -> None:
        self.volumes: Volumes | None = None
        self.lock = threading.Lock()
        self.hooked = False

    def get(self) -> Volumes:
        volumes = self.volumes
        if volumes is not None:
            return volumes
        with self.lock:
            if self.volumes is None:
                self.volumes = Volumes(Surroundings.of_this_process())
                if not self.hooked:
                    self.hooked = True
                    os.register_at_fork(after_in_child=self.after_fork)
                    atexit.register(self.at_exit)
            return self.volumes

    def after_fork(self) -> None:
        """The child owns nothing: the sessions and threads are its parent's."""
        self.lock = threading.Lock()
        self.volumes = None

    def at_exit(self) -> None:
        if self.volumes is not None:
            self.volumes.close()


_process = _Process()


def of_this_process() -> Volumes:
    return _process.get()
