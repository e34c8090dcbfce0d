"""A lease in the hands of its user."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from volumelease.errors import LeaseError, LeaseLost
from volumelease.model import Answer, Claim, Downgrade, Lost, Question, Release

if TYPE_CHECKING:
    from volumelease.paths.locate import VolumeRoot

    from .hosting import HostedSession
    from .staging import OpenDraft, Stage

AnyPath = str | bytes | os.PathLike[Any]
Mode = Literal["exclusive", "shared"]


class Ground(NamedTuple):
    """What a lease is of: the volume, the claims that it holds there, and each path that was
    asked for (several can lie under one claim)."""

    root: VolumeRoot
    claims: tuple[Claim, ...]
    asked: tuple[Claim, ...]


class Lease:
    """The right to use some paths of a volume, until it is released or lost.

    Promise: while ``lost`` is false, no other lease of any host covers these paths in a
    conflicting mode. Limit: a write made in place after the loss is not stopped by this object;
    call ``check()`` before it, or publish instead of writing in place.
    """

    def __init__(
        self,
        hosted: HostedSession,
        token: int,
        paths: tuple[str, ...],
        mode: Mode,
        ground: Ground,
        *,
        outer: Lease | None = None,
    ) -> None:
        self._hosted = hosted
        self._token = token
        self._paths = paths
        self._mode: Mode = mode
        self._ground = ground
        self._outer = outer
        self._loss = ""
        self._released = False
        self._callbacks: list[Callable[[Lease], Any]] = []
        self._stop_listening: Callable[[], None] | None = None
        self._lock = threading.Lock()

    @property
    def token(self) -> int:
        """The lease's number: grows with every request for the life of the volume's identity.
        A store that remembers the largest token it saw can refuse an older holder with it."""
        return self._token

    @property
    def paths(self) -> tuple[str, ...]:
        """The leased paths, absolute, as they are on this host."""
        return self._paths

    @property
    def mode(self) -> Mode:
        """``"exclusive"`` or ``"shared"``."""
        return self._mode

    @property
    def remaining(self) -> float:
        """Seconds for which the lease may be assumed without another beat, by this process's own
        clock; 0.0 when lost or released. It grows again with every beat."""
        return 0.0 if self._released or self.lost else self._hosted.session.remaining_seconds()

    @property
    def lost(self) -> bool:
        """Whether the lease can no longer be assumed. Once true, it stays true."""
        if not self._loss and not self._released:
            self._loss = self._hosted.loss_of(self._token)
        return bool(self._loss)

    def check(self) -> None:
        """Raise ``LeaseLost`` if the lease can't be assumed. Costs about a microsecond.

        Limit: the answer is true for this moment; ``remaining`` says for how long at least.
        """
        if self._released:
            raise LeaseLost(
                f"the lease on {self._shown()} (token {self._token}) was released",
                path=self._shown(),
                token=self._token,
                reason="released",
            )
        if self.lost:
            raise self._lost_error()

    def _lost_error(self) -> LeaseLost:
        return LeaseLost(
            f"the lease on {self._shown()} (token {self._token}) was lost: {self._loss}",
            path=self._shown(),
            token=self._token,
            reason=self._loss,
        )

    def on_lost(self, callback: Callable[[Lease], Any]) -> None:
        """Call ``callback(lease)`` once, in a thread of its own kind, when the lease is lost.

        It is called within a second of the loss, which is before anybody else may be granted
        these paths if the process runs at all. Limit: a process that was stopped calls it when
        it runs again.
        """
        with self._lock:
            self._callbacks.append(callback)
            if self._stop_listening is None:
                self._stop_listening = self._hosted.on_change(self._tell_if_lost)

    def _tell_if_lost(self) -> None:
        if not self._released and self.lost:
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def downgrade(self) -> None:
        """Turn an exclusive lease into a shared one, without letting go in between.

        Errors: ``LeaseLost``; ``LeaseDeadlock`` never. Waiters for shared leases go ahead.
        """
        self.check()
        if self._outer is not None:
            raise LeaseError(
                f"{self._shown()} is held by an outer block",
                advice="Downgrade the lease of the outer block",
            )
        self._hosted.talk().ask(Downgrade(self._token))
        self._mode = "shared"

    # ---- publishing

    def stage(self, path: AnyPath | None = None) -> Stage:
        """A place to write in, published in one step at the end of the ``with`` block.

        ``with lease.stage() as draft:`` yields a ``pathlib.Path`` that is free: make it a file or
        a directory. Leaving the block normally brings everything onto the volume (fsync) and
        makes it visible at ``path`` (the leased path, if there is one) in one step; an exception
        removes it. A directory becomes visible as a symlink to a version that never changes.

        Promise: readers see the old or the new, whole; once the lease is lost, nothing becomes
        visible: the decision is an entry of the log that is void then. Limit: who keeps a file of
        the draft open for writing can still change it after it is published.

        Errors, on leaving: ``LeaseLost``, ``PublishFailed``, ``VolumeFull``; on entering:
        ``LeaseViolation`` (not covered by this lease, or shared), ``PathInvalid`` (a real
        directory is in the way, or the path lies in a published version).
        """
        from .staging import Stage

        return Stage(self, path)

    def open(self, path: AnyPath, mode: str = "wb", **options: Any) -> OpenDraft:
        """A file to write, published at ``path`` in one step when it is closed.

        ``mode`` is ``"wb"`` or ``"w"``; ``options`` go to ``open`` (``encoding`` ...). If the
        ``with`` block around it ends with an exception, or it is never closed, nothing is
        published. Promise, limit and errors as ``stage``.
        """
        from .staging import open_draft

        return open_draft(self, path, mode, options)

    def publish(self, source: AnyPath, path: AnyPath | None = None) -> None:
        """Publish a file or directory that was written elsewhere on the same volume.

        It is moved away from ``source`` first; if it can't be published, it is moved back.
        Promise, limit and errors as ``stage``.
        """
        from .staging import publish

        publish(self, source, path)

    def _ask(self, question: Question) -> Answer:
        """Put a question about this lease. Errors: ``LeaseLost``, and those of the authority."""
        self.check()
        answer = self._hosted.talk().ask(question)
        if isinstance(answer, Lost):
            self._loss = self._loss or answer.reason
            raise self._lost_error()
        return answer

    def release(self) -> None:
        """Let go. What was held is free for others when this returns.

        A second call does nothing. Limit: while the volume does not answer, the release is kept
        and repeated by the heartbeat; at the latest the ttl frees the paths.
        """
        self._let_go(self.lost)

    def _let_go(self, lost: bool) -> None:
        with self._lock:
            if self._released:
                return
            self._released = True
        if self._stop_listening is not None:
            self._stop_listening()
        if lost:
            self._tell()
        # Of a lease that is being broken too: the next one need not wait until it is broken.
        if self._outer is None and self._hosted.alive():
            try:
                self._hosted.talk().ask(Release(self._token))
            except LeaseError as error:
                self._hosted.talk().notice(f"the release of {self._shown()} waits: {error}")

    def _shown(self) -> str:
        return ", ".join(self._paths)

    def __repr__(self) -> str:
        state = "released" if self._released else "lost" if self.lost else "held"
        return f"<Lease {self._mode} {self._shown()} token={self._token} {state}>"


def end_this_process(lease: Lease) -> None:
    """SIGTERM now, SIGKILL before another session may take over."""
    import signal

    timing = lease._hosted.session.timing
    timer = threading.Timer(
        (timing.margin + timing.cache) / 2, os.kill, (os.getpid(), signal.SIGKILL)
    )
    timer.daemon = True
    timer.start()
    os.kill(os.getpid(), signal.SIGTERM)
