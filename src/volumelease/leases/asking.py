"""``volume_lease``: what a user writes to get a lease."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, ParamSpec, TypeVar

from volumelease.errors import (
    AuthorityUnreachable,
    LeaseDeadlock,
    LeaseLost,
    PathInvalid,
    VolumeNotFound,
)
from volumelease.model import Acquire, Claim, Client

from .lease import AnyPath, Ground, Lease, Mode, end_this_process
from .owners import Held, Owner

if TYPE_CHECKING:
    from types import TracebackType

    from volumelease.drivers.threads import Errand
    from volumelease.paths.locate import VolumeRoot

    from .volumes import Volumes

P = ParamSpec("P")
R = TypeVar("R")
OnLost = Literal["raise", "signal", "ignore"]

_RESOLVE_TRIES: Final = 10


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
        self._entered: list[_Entered] = []

    # ---- sync

    def __enter__(self) -> Lease:
        volumes = self._volumes()
        owner = volumes.owners.current()
        try:
            entered = volumes.within(
                self._timeout,
                lambda errand: self._enter(volumes, owner, errand),
                undo=lambda entered: entered.lease.release(),
            )
        except AuthorityUnreachable:
            owner.forget_abandoned()
            raise
        try:
            if entered.entry is not None:
                owner.held.append(entered.entry)
            self._entered.append(entered)
            if self._on_lost == "signal":
                entered.lease.on_lost(end_this_process)
        except BaseException:  # interrupted: nobody would ever release it
            entered.lease.release()
            raise
        return entered.lease

    def _enter(self, volumes: Volumes, owner: Owner, errand: Errand | None) -> _Entered:
        tails = volumes.tails()
        wanted = self._resolve(volumes)
        volume = volumes.name_of(wanted.root)
        held = owner.covering(volume, wanted.claims, not self._shared)
        if held is not None:
            outer: Lease = held.lease
            ground = Ground(wanted.root, held.claims, wanted.asked)
            lease = Lease(outer._hosted, outer.token, wanted.shown, self._mode, ground, outer=outer)
            return _Entered(lease, owner, None)
        self._refuse_own(volume, owner, wanted)
        lease, wanted = self._acquire(volumes, owner, wanted, tails, errand)
        entry = Held(volumes.name_of(wanted.root), wanted.claims, lease)
        return _Entered(lease, owner, entry)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        lease, owner, entry = self._leave()
        lost = lease.lost
        if entry is not None:
            owner.held.remove(entry)
        if self._timeout is None:
            lease._let_go(lost)
        else:
            self._let_go_in_time(lease, lost)
        if lost and self._on_lost != "ignore":
            if error is None:
                raise lease._lost_error()
            error.add_note(str(lease._lost_error()))

    def _let_go_in_time(self, lease: Lease, lost: bool) -> None:
        """Who set a timeout does not wait for a volume that hangs here either: then the release
        goes on by itself, and the ttl frees the paths at the latest."""
        with suppress(AuthorityUnreachable):
            self._volumes().within(0.0, lambda _: lease._let_go(lost))

    def _volumes(self) -> Volumes:
        from .volumes import of_this_process  # what it takes to run a session loads with the first

        return self._given_volumes or of_this_process()

    def _leave(self) -> _Entered:
        """What this owner entered last: one object may be used by several threads at once."""
        owner = self._volumes().owners.current()
        mine = [entered for entered in self._entered if entered.owner is owner]
        last = mine[-1] if mine else self._entered[-1]
        self._entered.remove(last)
        return last

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

    def _resolve(self, volumes: Volumes) -> _Wanted:
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
        asked = tuple(claims)
        if volumes.surroundings.settings.scope == "volume" and not self._shared:
            claims = [Claim("", "")]
        kept = _without_covered(claims) if len(claims) > 1 else tuple(claims)
        base = root.root
        shown = tuple(f"{base}/{claim.path}" if claim.path else base for claim in kept)
        return _Wanted(root, kept, shown, asked)

    def _refuse_own(self, volume: str, owner: Owner, wanted: _Wanted) -> None:
        clash = owner.clashing(volume, wanted.claims, not self._shared)
        if clash is None:
            return
        what = "upgrade it" if clash.lease.mode == "shared" else "take more than it covers"
        raise LeaseDeadlock(
            f"this {owner.name.partition('-')[0]} holds {clash.lease!r} and can't {what}",
            advice="Take all that is needed, exclusively, in the first volume_lease(...) call",
            path=", ".join(wanted.shown),
            holder=None,
            cycle=(clash.lease.token,),
        )

    def _acquire(
        self,
        volumes: Volumes,
        owner: Owner,
        wanted: _Wanted,
        tails: dict[str, int],
        errand: Errand | None,
    ) -> tuple[Lease, _Wanted]:
        clock = volumes.surroundings.clock
        started = clock.boottime()
        for _ in range(_RESOLVE_TRIES):
            left = self._timeout
            if left:
                left = max(0.0, left - (clock.boottime() - started))
            lease = self._ask(volumes, owner, wanted, left, errand)
            if lease is None:
                continue  # nothing was held: a new session asks again
            if _undisturbed(lease, tails, wanted) or volumes.leads_there(
                self._paths, wanted.root, tuple(claim.path for claim in wanted.asked)
            ):
                return lease, wanted
            lease.release()  # a link on the way was moved while we waited
            tails = volumes.tails()
            wanted = self._resolve(volumes)
        shown = ", ".join(wanted.shown)
        raise LeaseLost(
            f"no lease on {shown} could be kept: the session was lost, or the path moved, "
            f"{_RESOLVE_TRIES} times",
            advice="See what the volume does: volumelease doctor",
            path=shown,
            token=None,
            reason="unstable",
        )

    def _ask(
        self,
        volumes: Volumes,
        owner: Owner,
        wanted: _Wanted,
        left: float | None,
        errand: Errand | None,
    ) -> Lease | None:
        """The lease, or None if the session was lost before it was granted."""
        question = Acquire(
            claims=wanted.claims,
            exclusive=not self._shared,
            owner=owner.name,
            reason=self._reason,
            client=self._client,
        )
        hosted, granted = volumes.ask(question, wanted.root, ", ".join(wanted.shown), left, errand)
        if granted is None:
            return None
        ground = Ground(wanted.root, wanted.claims, wanted.asked)
        return Lease(hosted, granted.token, wanted.shown, self._mode, ground)

    @property
    def _mode(self) -> Mode:
        return "shared" if self._shared else "exclusive"


class _Wanted(NamedTuple):
    """What a request comes down to on this host at this moment."""

    root: VolumeRoot
    claims: tuple[Claim, ...]
    shown: tuple[str, ...]
    asked: tuple[Claim, ...]
    """Where each path led; the claims can be fewer and wider."""


class _Entered(NamedTuple):
    """One ``with`` block. ``entry`` is None when an outer block of the owner holds the lease."""

    lease: Lease
    owner: Owner
    entry: Held | None


def _undisturbed(lease: Lease, tails: dict[str, int], wanted: _Wanted) -> bool:
    """Whether the lease was granted by the very next entry of the log after the paths had been
    resolved: then nobody who had a lease there can have moved them, and they need no second
    look (a tenth of what a lease costs)."""
    after = lease._hosted.session.replica.next_index
    return tails.get(wanted.root.real_root) == lease.token == after - 1


def _without_covered(claims: list[Claim]) -> tuple[Claim, ...]:
    """The claims without those below another one, each once."""
    kept: list[Claim] = []
    for claim in sorted(set(claims), key=lambda c: c.key):
        if not any(
            not k.key or k.key == claim.key or claim.key.startswith(k.key + "/") for k in kept
        ):
            kept.append(claim)
    return tuple(kept)
