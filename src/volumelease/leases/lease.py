"""A lease in the hands of its user."""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from volumelease.errors import LeaseError, LeaseLost
from volumelease.model import Answer, Claim, Downgrade, Lost, Question, Release

from . import losses
from .order import AnyPath, Mode, OnLost

if TYPE_CHECKING:
    import subprocess
    from asyncio import AbstractEventLoop

    from volumelease.drivers.crew import Crew
    from volumelease.enforce.levels import Level
    from volumelease.paths.locate import VolumeRoot

    from .loans import Loan
    from .staging import OpenDraft, Stage
    from .talking import Hosted
    from .volumes import Volumes


class Terms(NamedTuple):
    """What a block asked for, beyond the lease itself."""

    volume: str
    root: VolumeRoot
    claims: tuple[Claim, ...]
    asked: tuple[Claim, ...]
    """Where each path that was asked for led; the claims can be fewer and wider."""
    volumes: Volumes
    on_lost: OnLost
    timeout: float | None

    @property
    def crew(self) -> Crew:
        """Does what may block on the volume, for an event loop."""
        return self.volumes.crew_on(self.root)


class _Done:
    """Nothing left to await: it was done before the call returned."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


_DONE: Final = _Done()


class Lease:
    """The right to use some paths of a volume, until it is released or lost.

    Promise: while ``lost`` is false, no other lease of any host covers these paths in a
    conflicting mode. Limit: a write made in place after the loss is not stopped by this object;
    call ``check()`` before it, or publish instead of writing in place.
    """

    def __init__(
        self,
        hosted: Hosted,
        token: int,
        paths: tuple[str, ...],
        mode: Mode,
        terms: Terms,
        *,
        outer: Lease | None = None,
    ) -> None:
        self._hosted = hosted
        self._token = token
        self._paths = paths
        self._mode: Mode = mode
        self._terms = terms
        self._outer = outer
        self._root: Lease = self if outer is None else outer._root
        self._inside = {"exclusive": 0, "shared": 0, mode: 1}
        """How many blocks use this lease, this one's own and those nested in it or lent to."""
        self._loop: AbstractEventLoop | None = None
        """Where it was entered with ``async with``."""
        self._loss = ""
        self._released = False
        self._granted_at = 0.0
        """When it was known to be granted (boottime)."""
        self._callbacks: list[tuple[Callable[[Lease], Any], AbstractEventLoop | None]] = []
        self._acts: tuple[Callable[[Lease], losses.Rest | None], ...] = ()
        """What is done when it is lost, before those are told."""
        self._stop_listening: Callable[[], None] | None = None
        self._programs: tuple[Callable[[], None], ...] = ()
        """What ends the programs that were run in this block."""
        self._drafts: set[str] = set()
        """Those that are being written under the lease, whatever block of it they are of."""
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
        return 0.0 if self._released or self.lost else self._hosted.remaining_seconds()

    @property
    def lost(self) -> bool:
        """Whether the lease can no longer be assumed. Once true, it stays true."""
        if not self._loss and not self._released:
            self._loss = self._hosted.loss_of(self._token)
        return bool(self._loss)

    @property
    def over(self) -> bool:
        """Whether it was released or lost."""
        return self._released or self.lost

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
        """Call ``callback(lease)`` once when the lease is lost: in a thread of its own kind, or
        on the event loop where ``async with`` took it.

        It is called within a second of the loss, which is before anybody else may be granted
        these paths if the process runs at all. It may block: what ends programs, tasks and this
        process (``on_lost``) does not wait for it, only the callbacks of this lease that come
        after it do. Limit: a process that was stopped, or a loop that is blocked, calls it when
        it runs again.
        """
        losses.call_when_lost(self, callback, self._loop)

    def lend(self) -> Loan:
        """Hand this block's right to a task or thread that it started.

        ``with lease.lend() as lent:`` (or ``async with``), in that task or thread, is a block
        under the same lease and token: ``volume_lease`` inside it finds the paths covered. Any
        number may borrow. Promise: nobody inside believes in a lease that is gone; a lender that
        leaves first lends no more, and the lease is released when the last borrower leaves.
        Limit: borrowers don't exclude each other, nor the lender. Errors, on entering:
        ``LeaseLost`` when the lender's block is over.
        """
        from .loans import Loan

        return Loan(self)

    def _share(self, paths: tuple[str, ...], mode: Mode, terms: Terms) -> Lease | None:
        """Another block under the same lease, or None if this one's block is over."""
        root = self._root
        with root._lock:
            if self.over or not sum(root._inside.values()):
                return None
            if root._mode == "shared":
                mode = "shared"
            root._inside[mode] += 1
        return Lease(self._hosted, self._token, paths, mode, terms, outer=self)

    def downgrade(self) -> Awaitable[None]:
        """Turn an exclusive lease into a shared one, without letting go in between.

        Done when this returns; where ``async with`` took the lease, ``await`` it. Waiters for
        shared leases go ahead. Errors: ``LeaseLost``; ``LeaseError`` while an inner block, a
        borrower or a program (``run``) uses it exclusively.
        """
        self.check()
        if self._outer is not None:
            raise LeaseError(
                f"{self._shown()} is held by an outer block",
                advice="Downgrade the lease of the outer block",
            )
        with self._lock:
            if self._inside["exclusive"] > (self._mode == "exclusive"):
                raise LeaseError(
                    f"{self._shown()} is used exclusively by an inner block, a borrower or a "
                    "program",
                    advice="Downgrade when they have left",
                )
            self._inside[self._mode] -= 1
            self._mode = "shared"  # before the volume knows: nobody may enter exclusively now
            self._inside["shared"] += 1
        return self._perform(self._ask_downgrade)

    def _ask_downgrade(self) -> None:
        self._hosted.ask(Downgrade(self._token))
        self.check()

    # ---- publishing

    def stage(self, path: AnyPath | None = None) -> Stage:
        """A place to write in, published in one step at the end of the ``with`` block.

        ``with lease.stage() as draft:`` yields a ``pathlib.Path`` that is free: make it a file or
        a directory. Leaving the block normally brings everything onto the volume (fsync) and
        makes it visible at ``path`` (the leased path, if there is one) in one step; an exception
        removes it. ``async with`` does the same without blocking the loop. A directory becomes
        visible as a symlink to a version that never changes.

        Promise: readers see the old or the new, whole; once the lease is lost, nothing becomes
        visible: the decision is an entry of the log that is void then. Limit: who keeps a file of
        the draft open for writing can still change it after it is published; and where a Redis
        keeps the leases, it is asked right before that step, which is not sealed by its answer.

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

        It is moved away from ``source`` first; if it can't be published, it is moved back. Promise,
        limit and errors as ``stage``; ``LeaseTimeout`` if somebody else has a lease on ``source``.
        """
        from .staging import publish

        publish(self, source, path)

    def run(
        self,
        args: Sequence[str | os.PathLike[str]] | str,
        *,
        require: Level | None = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[Any]:
        """Run a program that may write on the volume only beneath this lease's paths and drafts.

        As ``subprocess.run``, with its ``options``; it gets VOLUMELEASE_TOKEN and
        VOLUMELEASE_PATHS. Promise: the kernel (Landlock) denies it and all that it starts every
        write elsewhere on the volume; it is ended with its process group (SIGTERM, then SIGKILL)
        when the lease is lost or its block ends, and dies with this process (what it started does
        not). The block's end does not wait for it: the lease is free when it has ended, within
        ten seconds. Where the kernel can't deny, a line says so and it runs all the same;
        ``require="landlock"`` raises ``EnforcementMissing`` then. Blocks: in an event loop,
        ``await asyncio.to_thread(lease.run, [...])``.

        Limits: chmod, chown, utime and xattrs are not denied; what it leaves running, and what
        leaves its process group, outlives the lease (``volumelease hold`` ends that too); nothing
        new can be made right in the directories above the volume. Errors: ``LeaseLost``, and
        those of ``subprocess.run``.
        """
        from .running import run

        return run(self, args, require, options)

    def _ask(self, question: Question) -> Answer:
        """Put a question about this lease. Errors: ``LeaseLost``, and those of the authority."""
        self.check()
        answer = self._hosted.ask(question)
        if isinstance(answer, Lost):
            self._loss = self._loss or answer.reason
            raise self._lost_error()
        return answer

    def release(self) -> Awaitable[None]:
        """Let go. What was held is free for others when this returns, or, where ``async with``
        took the lease, when it was awaited.

        A second call does nothing. Limits: while the volume does not answer, the release is kept
        and repeated by the heartbeat, and at the latest the ttl frees the paths; while borrowers
        are inside, or a program has not ended, they keep it.
        """
        return self._perform(self._ask_release) if self._end(self.lost) else _DONE

    def _end(self, lost: bool) -> bool:
        """This block ends. Returns whether the lease is to be released: it was the last one."""
        with self._lock:
            if self._released:
                return False
            self._released = True
        if self._hosted.pid == os.getpid():  # a forked child ends no program of its parent
            for end in self._programs:  # they have shares: the lease is there until they have ended
                end()
        if self._stop_listening is not None:
            self._stop_listening()
        if lost and (rest := losses.tell(self)):
            rest()
        inside = self._root._inside
        with self._root._lock:
            inside[self._mode] -= 1
            last = not sum(inside.values())
        if last:
            self._root._note_end()
        # Of a lease that is being broken too: the next one need not wait until it is broken.
        return last and not self._hosted.over

    def _note_end(self) -> None:
        tally, terms = self._hosted.tally, self._terms
        held = terms.volumes.surroundings.clock.boottime() - self._granted_at
        if self._loss or tally.rooted:
            tally.ended(terms.claims, self._loss, held)
        else:
            tally.released_after(held)

    def _ask_release(self) -> None:
        handoff = self._terms.volumes.surroundings.handoff
        if handoff is not None and self._root._mode == "exclusive" and not self._root._loss:
            layout = self._terms.volumes.log_of(self._terms.root)
            if layout is not None:
                handoff.leave(layout, self._root._terms.claims, self._token)
        try:
            self._hosted.ask(Release(self._token))
        except LeaseError as error:
            self._hosted.notice(f"the release of {self._shown()} waits: {error}")

    def _perform(self, work: Callable[[], None]) -> Awaitable[None]:
        """Have it done: now, or in another thread if an event loop must not wait for it."""
        if self._root._loop is not None:
            from .tasks import begin

            begun = begin(self._terms.crew, work)
            if begun is not None:
                return begun
        work()
        return _DONE

    def _shown(self) -> str:
        return ", ".join(self._paths)

    def __repr__(self) -> str:
        state = "released" if self._released else "lost" if self.lost else "held"
        return f"<Lease {self._mode} {self._shown()} token={self._token} {state}>"
