"""How a block begins: find the paths, see what this owner has already, and ask until granted.

One flow, which threads and event loops run alike.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from volumelease.errors import LeaseDeadlock, LeaseLost, LeaseTimeout, VolumeNotFound
from volumelease.model import Acquire, Ask, Call, Claim, Flow, Granted, Release
from volumelease.paths.canonical import VolumePath, canonical

from .blocks import Block
from .flows import acquire
from .lease import Lease, Terms
from .order import Order, raised
from .owners import Held, Owner
from .talking import Conversation

if TYPE_CHECKING:
    from volumelease.paths.locate import VolumeRoot

    from .volumes import Volumes

_TRIES: Final = 10


class _Wanted(NamedTuple):
    """What an order comes down to on this host at this moment."""

    root: VolumeRoot
    claims: tuple[Claim, ...]
    shown: tuple[str, ...]
    asked: tuple[Claim, ...]
    """Where each path led; the claims can be fewer and wider."""


def enter(
    order: Order,
    volumes: Volumes,
    owner: Owner,
    around: tuple[Held, ...],
    talk: Conversation,
) -> Flow[Block]:
    """Get what ``order`` says for ``owner``, whom blocks with the leases ``around`` started.
    Whatever interrupts it, what was granted is given back. Errors: those of ``volume_lease``."""
    return _Entering(order, volumes, owner, around, talk).run()


class _Entering:
    def __init__(
        self,
        order: Order,
        volumes: Volumes,
        owner: Owner,
        around: tuple[Held, ...],
        talk: Conversation,
    ) -> None:
        self._order = order
        self._volumes = volumes
        self._owner = owner
        self._around = around
        self._talk = talk

    def run(self) -> Flow[Block]:
        volumes, order, owner = self._volumes, self._order, self._owner
        tails = volumes.tails()
        wanted: _Wanted = (yield Call(self._resolve)).value
        volume = volumes.name_of(wanted.root)
        if owner.held:
            held = owner.covering(volume, wanted.claims, not order.shared)
            if held is not None:
                terms = self._terms(wanted)
                lease: Lease | None = held.lease._share(wanted.shown, order.mode, terms)
                if lease is not None:
                    return Block(lease, owner, None)
            self._refuse_own(volume, wanted)
        self._refuse_what_waits_for_this(volume, wanted)
        started = self._talk.now()
        try:
            lease, wanted = yield from self._until_kept(wanted, tails, started)
        except BaseException as error:
            self._note(wanted, _outcome_of(error), self._talk.now() - started)
            raise
        return Block(lease, owner, Held(lease._terms.volume, wanted.claims, lease))

    def _note(self, wanted: _Wanted, outcome: str, seconds: float) -> None:
        hosted = self._volumes.live(wanted.root)
        if hosted is not None:
            scope = hosted.tally.scope(wanted.claims)
            hosted.tally.note((("acquire_duration_seconds", scope, outcome), seconds))

    def _until_kept(
        self, wanted: _Wanted, tails: dict[str, int], started: float
    ) -> Flow[tuple[Lease, _Wanted]]:
        volumes, order, talk = self._volumes, self._order, self._talk
        now = started
        for _ in range(_TRIES):
            left = order.timeout
            if left:
                left = max(0.0, left - (now - started))
            granted = yield from self._ask(wanted, now, left)
            now = talk.now()
            if granted is None:
                continue  # nothing was held: a new session asks again
            hosted = talk.hosted
            if volumes.undisturbed(wanted.root, hosted, tails, granted.token) or (
                yield from self._leads_there(wanted, granted)
            ):
                if volumes.surroundings.handoff is not None and not order.shared:
                    yield from self._compare(wanted, granted)
                terms = self._terms(wanted)
                tally = hosted.tally
                if tally.rooted:
                    tally.note((tally.acquired(wanted.claims), now - started))
                else:
                    tally.acquired_in(now - started)
                lease = Lease(hosted, granted.token, wanted.shown, order.mode, terms)
                lease._granted_at = now
                return lease, wanted
            yield Ask(Release(granted.token))  # a link on the way was moved while we waited
            tails = volumes.tails()
            wanted = (yield Call(self._resolve)).value
        shown = ", ".join(wanted.shown)
        raise LeaseLost(
            f"no lease on {shown} could be kept: the session was lost, or the path moved, "
            f"{_TRIES} times",
            advice="See what the volume does: volumelease doctor",
            path=shown,
            token=None,
            reason="unstable",
        )

    def _ask(self, wanted: _Wanted, now: float, left: float | None) -> Flow[Granted | None]:
        """The grant, or None if the session was lost before it."""
        order, volumes = self._order, self._volumes
        hosted = volumes.live(wanted.root)
        if hosted is None:
            hosted = (yield Call(lambda: volumes.session(wanted.root))).value
        self._talk.join(hosted)
        question = Acquire(
            claims=wanted.claims,
            exclusive=not order.shared,
            owner=self._owner.name,
            reason=order.reason,
            client=order.client,
        )
        got = yield from acquire(question, ", ".join(wanted.shown), now, left)
        return got if isinstance(got, Granted) else None

    def _compare(self, wanted: _Wanted, granted: Granted) -> Flow[None]:
        """With what the last holder left. Interrupted, the lease is given back."""
        volumes, tally = self._volumes, self._talk.hosted.tally
        handoff, layout = volumes.surroundings.handoff, volumes.log_of(wanted.root)
        if handoff is None or layout is None:
            return
        work = lambda: handoff.enter(layout, wanted.claims, granted.token, tally)  # noqa: E731
        yield from self._or_give_back(work, granted)

    def _leads_there(self, wanted: _Wanted, granted: Granted) -> Flow[bool]:
        """Whether each path still leads to where it did. Interrupted here, the lease is given
        back: nobody knows of it yet."""
        paths, displays = self._order.paths, tuple(claim.path for claim in wanted.asked)
        there = lambda: self._volumes.leads_there(paths, wanted.root, displays)  # noqa: E731
        return bool((yield from self._or_give_back(there, granted)))

    def _or_give_back(self, work: Callable[[], Any], granted: Granted) -> Flow[Any]:
        try:
            resumed = yield Call(work)
        except GeneratorExit:
            raise
        except BaseException:
            yield Ask(Release(granted.token))
            raise
        return resumed.value

    def _terms(self, wanted: _Wanted) -> Terms:
        volumes, order = self._volumes, self._order
        return Terms(
            volume=volumes.name_of(wanted.root),
            root=wanted.root,
            claims=wanted.claims,
            asked=wanted.asked,
            volumes=volumes,
            on_lost=order.on_lost,
            timeout=order.timeout,
        )

    # ---- what is asked for

    def _resolve(self) -> _Wanted:
        volumes, paths = self._volumes, self._order.paths
        root, first = volumes.find(paths[0])
        claims = [Claim(first.display, first.key)]
        for path in paths[1:]:
            other, where = volumes.find(path)
            if other.real_root != root.real_root:
                where = self._through_another_mount(path, root)
            claims.append(Claim(where.display, where.key))
        asked = tuple(claims)
        wanted = raised(asked, volumes.surroundings.settings, shared=self._order.shared)
        kept = _without_covered(wanted) if len(wanted) > 1 else wanted
        base = root.root
        shown = tuple(f"{base}/{claim.path}" if claim.path else base for claim in kept)
        return _Wanted(root, kept, shown, asked)

    def _through_another_mount(self, path: Any, root: VolumeRoot) -> VolumePath:
        """The name on ``root`` of a path that was found on another one: a bind mount shows the
        same directories twice. Two mounts of their own of one network volume can't be told from a
        volume and its copy, so those stay two. Errors: ``VolumeNotFound``."""
        try:
            return canonical(path, root)
        except VolumeNotFound:
            first = os.fsdecode(self._order.paths[0])
            raise VolumeNotFound(
                f"{os.fsdecode(path)} is on another volume than {first}",
                advice="Take one lease for each volume",
                path=os.fsdecode(path),
            ) from None

    # ---- what would wait for ever

    def _refuse_own(self, volume: str, wanted: _Wanted) -> None:
        clash = self._owner.clashing(volume, wanted.claims, not self._order.shared)
        if clash is None:
            return
        what = "upgrade it" if clash.lease.mode == "shared" else "take more than it covers"
        raise LeaseDeadlock(
            f"this {self._owner.kind} holds {clash.lease!r} and can't {what}",
            advice="Take all that is needed, exclusively, in the first volume_lease(...) call",
            path=", ".join(wanted.shown),
            holder=None,
            cycle=(clash.lease.token,),
        )

    def _refuse_what_waits_for_this(self, volume: str, wanted: _Wanted) -> None:
        """A block that started this task or thread usually waits for it."""
        for held in self._around:
            if held.live(volume) and held.clashes(wanted.claims, not self._order.shared):
                raise LeaseDeadlock(
                    f"this {self._owner.kind} was started inside a block that holds "
                    f"{held.lease!r}, and waiting for it would never end if that block waits "
                    f"for this {self._owner.kind}",
                    advice="Enter `with lease.lend():` in what the block starts, or start it "
                    "outside of the block",
                    path=", ".join(wanted.shown),
                    holder=None,
                    cycle=(held.lease.token,),
                )


def _outcome_of(error: BaseException) -> str:
    if isinstance(error, LeaseTimeout):
        return "timeout"
    return "error" if isinstance(error, Exception) else "cancelled"


def _without_covered(claims: tuple[Claim, ...]) -> tuple[Claim, ...]:
    """The claims without those below another one, each once."""
    kept: list[Claim] = []
    for claim in sorted(set(claims), key=lambda c: c.key):
        if not any(
            not k.key or k.key == claim.key or claim.key.startswith(k.key + "/") for k in kept
        ):
            kept.append(claim)
    return tuple(kept)
