"""``volume_lease`` and the ``Lease`` it gives."""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Literal, ParamSpec, TypeVar

from volumelease.drivers.threads import run_flow
from volumelease.errors import LeaseDeadlock, LeaseError, LeaseLost, PathInvalid, VolumeNotFound
from volumelease.model import Acquire, Claim, Client, Downgrade, Release
from volumelease.paths.locate import VolumeRoot

from .flows import SessionEnded, acquire
from .hosting import HostedSession
from .owners import Held, Owner
from .volumes import Volumes, of_this_process

P = ParamSpec("P")
R = TypeVar("R")
AnyPath = str | bytes | os.PathLike[Any]
OnLost = Literal["raise", "signal", "ignore"]
Mode = Literal["exclusive", "shared"]

_RESOLVE_TRIES: Final = 10


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
        *,
        outer: Lease | None = None,
    ) -> None:
        self._hosted = hosted
        self._token = token
        self._paths = paths
        self._mode: Mode = mode
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
            raise LeaseLost(
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
        if self._released or not self.lost:
            return
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
        self._hosted.talk(None).ask(Downgrade(self._token))
        self._mode = "shared"

    def release(self) -> None:
        """Let go. What was held is free for others when this returns.

        A second call does nothing. Limit: while the volume does not answer, the release is kept
        and repeated by the heartbeat; at the latest the ttl frees the paths.
        """
        with self._lock:
            if self._released:
                return
            lost = self.lost
            self._released = True
        if self._stop_listening is not None:
            self._stop_listening()
        if self._outer is None and not lost and self._hosted.pid == os.getpid():
            try:
                self._hosted.talk(None).ask(Release(self._token))
            except LeaseError as error:
                self._hosted.talk(None).notice(f"the release of {self._shown()} waits: {error}")

    def _shown(self) -> str:
        return ", ".join(self._paths)

    def __repr__(self) -> str:
        state = "released" if self._released else "lost" if self.lost else "held"
        return f"<Lease {self._mode} {self._shown()} token={self._token} {state}>"


class volume_lease:
    """A lease on ``paths`` of a shared volume, for the time of a ``with`` block.

    ``with volume_lease("/runpod-volume/models") as lease:`` waits until nobody else in the fleet
    holds a conflicting lease on that path, its parents or anything below it, and lets go at the
    end. Several paths are granted together or not at all. Also a decorator.

    ``shared=True``: any number of holders, but no exclusive one. ``timeout`` in seconds (None
    waits for ever, 0 tries once). ``on_lost``: ``"raise"`` raises ``LeaseLost`` at the next
    check and at the end of the block, ``"signal"`` also sends SIGTERM to this process and
    SIGKILL before another session may take over, ``"ignore"`` only records. ``reason`` is shown
    to whoever waits.

    Promise: at most one live lease covers any path exclusively, across hosts, whatever crashes.
    Limit: it excludes those who ask. A process that writes without a lease is not stopped, and a
    write in place by a holder that lost its lease lands.

    Errors: ``LeaseTimeout``, ``LeaseDeadlock``, ``LeaseLost``, ``VolumeNotFound``,
    ``PathInvalid``, ``VolumeUnsuitable``, ``VolumeFull``, ``AuthorityUnreachable``,
    ``SettingsMismatch``.
    """

    def __init__(
        self,
        *paths: AnyPath,
        shared: bool = False,
        timeout: float | None = None,
        on_lost: OnLost = "raise",
        reason: str | None = None,
        client: Client | None = None,
        volumes: Volumes | None = None,
    ) -> None:
        if not paths:
            raise PathInvalid("volume_lease needs at least one path", path=None)
        if on_lost not in ("raise", "signal", "ignore"):
            raise ValueError(f"on_lost={on_lost!r}: use 'raise', 'signal' or 'ignore'")
        if timeout is not None and (isinstance(timeout, bool) or not timeout >= 0):
            raise ValueError(f"timeout={timeout!r}: seconds, 0 to try once, None to wait for ever")
        self._paths = paths
        self._shared = shared
        self._timeout = timeout
        self._on_lost: OnLost = on_lost
        self._reason = (reason or "")[:200]
        self._client = client
        self._given_volumes = volumes
        self._entered: list[tuple[Lease, Owner, Held | None]] = []

    # ---- sync

    def __enter__(self) -> Lease:
        volumes = self._given_volumes or of_this_process()
        owner = volumes.owners.current()
        root, claims, shown = self._resolve(volumes)
        held = owner.covering(volumes.name_of(root), claims, not self._shared)
        if held is not None and not held.lease.lost:
            mode: Mode = "shared" if self._shared else "exclusive"
            lease = Lease(held.lease._hosted, held.lease.token, shown, mode, outer=held.lease)
            self._entered.append((lease, owner, None))
            return lease
        self._refuse_own(volumes.name_of(root), owner, claims)
        lease, claims = self._acquire(volumes, owner, root, claims, shown)
        entry = Held(volumes.name_of(root), claims, not self._shared, lease)
        owner.held.append(entry)
        self._entered.append((lease, owner, entry))
        if self._on_lost == "signal":
            lease.on_lost(_end_this_process)
        return lease

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lease, owner, entry = self._entered.pop()
        lost: LeaseLost | None = None
        try:
            lease.check()
        except LeaseLost as loss:
            lost = loss if loss.facts["reason"] != "released" else None
        if entry is not None:
            owner.held.remove(entry)
        lease.release()
        if lost is not None and self._on_lost != "ignore":
            if error is None:
                raise lost
            error.add_note(str(lost))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: every call takes the lease for its own duration."""

        @functools.wraps(function)
        def leased(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._again():
                return function(*args, **kwargs)

        return leased

    def _again(self) -> volume_lease:
        return volume_lease(
            *self._paths,
            shared=self._shared,
            timeout=self._timeout,
            on_lost=self._on_lost,
            reason=self._reason,
            client=self._client,
            volumes=self._given_volumes,
        )

    # ---- what is asked for

    def _resolve(self, volumes: Volumes) -> tuple[VolumeRoot, tuple[Claim, ...], tuple[str, ...]]:
        root, first = volumes.find(self._paths[0])
        claims = [Claim(first.display, first.key)]
        for path in self._paths[1:]:
            other, where = volumes.find(path)
            if other.real_root != root.real_root:
                raise VolumeNotFound(
                    f"{os.fsdecode(path)} is on another volume than {os.fsdecode(self._paths[0])}",
                    advice="Take one lease for each volume",
                    path=os.fsdecode(path),
                )
            claims.append(Claim(where.display, where.key))
        if volumes.surroundings.settings.scope == "volume" and not self._shared:
            claims = [Claim("", "")]
        kept = _without_covered(claims)
        base = root.root
        shown = tuple(f"{base}/{claim.path}" if claim.path else base for claim in kept)
        return root, kept, shown

    def _refuse_own(self, volume: str, owner: Owner, claims: tuple[Claim, ...]) -> None:
        clash = owner.clashing(volume, claims, not self._shared)
        if clash is None or clash.lease.lost:
            return
        what = "upgrade it" if clash.lease.mode == "shared" else "take more than it covers"
        raise LeaseDeadlock(
            f"this {owner.name.partition('-')[0]} holds {clash.lease!r} and can't {what}",
            advice="Take all that is needed, exclusively, in the first volume_lease(...) call",
            path=", ".join(claim.path for claim in claims),
            holder=None,
            cycle=(clash.lease.token,),
        )

    def _acquire(
        self,
        volumes: Volumes,
        owner: Owner,
        root: VolumeRoot,
        claims: tuple[Claim, ...],
        shown: tuple[str, ...],
    ) -> tuple[Lease, tuple[Claim, ...]]:
        clock = volumes.surroundings.clock
        started = clock.boottime()
        for _ in range(_RESOLVE_TRIES):
            question = Acquire(
                claims=claims,
                exclusive=not self._shared,
                owner=owner.name,
                reason=self._reason,
                client=self._client,
            )
            hosted = volumes.session(root)
            left = self._timeout
            if left:
                left = max(0.0, left - (clock.boottime() - started))
            flow = acquire(question, ", ".join(shown), clock.boottime(), left)
            got = run_flow(flow, hosted.talk(left))
            if isinstance(got, SessionEnded):
                continue  # nothing was held: a new session asks again
            lease = Lease(hosted, got.token, shown, "shared" if self._shared else "exclusive")
            _, again, shown_now = self._resolve(volumes)
            if again == claims:
                return lease, claims
            lease.release()  # a link on the way was moved while we waited
            claims, shown = again, shown_now
        raise LeaseLost(
            f"no lease on {', '.join(shown)} could be kept: the session was lost, or the path "
            f"moved, {_RESOLVE_TRIES} times",
            advice="See what the volume does: volumelease doctor",
            path=", ".join(shown),
            token=None,
            reason="unstable",
        )


def _without_covered(claims: list[Claim]) -> tuple[Claim, ...]:
    """The claims without those below another one, each once."""
    kept: list[Claim] = []
    for claim in sorted(set(claims), key=lambda c: c.key):
        if not any(
            not k.key or k.key == claim.key or claim.key.startswith(k.key + "/") for k in kept
        ):
            kept.append(claim)
    return tuple(kept)


def _end_this_process(lease: Lease) -> None:
    """SIGTERM now, SIGKILL before another session may take over."""
    timing = lease._hosted.session.timing
    timer = threading.Timer(
        (timing.margin + timing.cache) / 2, os.kill, (os.getpid(), signal.SIGKILL)
    )
    timer.daemon = True
    timer.start()
    os.kill(os.getpid(), signal.SIGTERM)
