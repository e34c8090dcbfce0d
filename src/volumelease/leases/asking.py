"""``volume_lease``: what a user writes to get a lease."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from volumelease.errors import PathInvalid
from volumelease.model import Client

from .lease import Lease
from .order import AnyPath, OnLost, Order

if TYPE_CHECKING:
    from types import TracebackType

    from .blocks import Block
    from .volumes import Volumes

P = ParamSpec("P")
R = TypeVar("R")


class volume_lease:
    """A lease on ``paths`` of a shared volume, for the time of a ``with`` block.

    ``with volume_lease("/runpod-volume/models") as lease:`` waits until nobody else in the fleet
    holds a conflicting lease on that path, its parents or anything below it, and lets go at the
    end. Several paths are granted together or not at all. Also a decorator.

    In an event loop ``async with``, or the decorator on a coroutine function: the loop never waits
    for the volume, and a cancellation gives back. The current task is the owner then, else the
    current thread; owners exclude each other, so what a block starts borrows with
    ``lease.lend()``.

    ``shared=True``: any number of holders, but no exclusive one. ``timeout`` in seconds (None
    waits for ever, 0 tries once). ``on_lost``: ``"raise"`` raises ``LeaseLost`` at the next
    check and at the end of the block, and cancels the task of an ``async with``; ``"signal"``
    also sends SIGTERM to this process and SIGKILL before another session may take over (a
    container's first process, which gets neither SIGKILL nor a SIGTERM that it does not handle,
    exits with 137 then); ``"ignore"`` only records. ``reason`` is shown to whoever waits.

    Promise: at most one live lease covers any path exclusively, across hosts, whatever crashes.
    From the first one on, a write of this process on that volume that no live lease of it covers
    raises ``LeaseViolation``, and after a loss ``LeaseLost`` (``VOLUMELEASE_GUARD``). Limit: it
    excludes those who ask. A process that never does, or a program in C or Rust, is not stopped
    (see ``Lease.run``), and what was written in place before a loss may land after it.

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
            raise PathInvalid(
                "volume_lease() was given no path",
                advice='Name what is to be leased: volume_lease("/workspace/data")',
                path=None,
            )
        if on_lost not in ("raise", "signal", "ignore"):
            raise ValueError(f"on_lost={on_lost!r}: use 'raise', 'signal' or 'ignore'")
        if timeout is not None and (isinstance(timeout, bool) or not timeout >= 0):
            raise ValueError(f"timeout={timeout!r}: seconds, 0 to try once, None to wait for ever")
        self._order = Order(paths, shared, timeout, on_lost, (reason or "")[:200], client)
        self._given_volumes = volumes
        self._blocks: list[Block] = []

    # ---- in a thread

    def __enter__(self) -> Lease:
        volumes = self._volumes()
        owner = volumes.owners.current()
        around = owner.around()  # of this thread, which may not be the one that does the work
        try:
            block = volumes.enter(self._order, owner, around)
        except BaseException:  # interrupted too: what is abandoned may still be granted
            owner.forget_abandoned()
            raise
        return self._begun(block, block.begin)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave().leave(error)

    # ---- in a task

    async def __aenter__(self) -> Lease:
        from .tasks import enter

        block = await enter(self._order, self._volumes())
        return self._begun(block, block.begin_on_loop)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave().leave_on_loop(error)

    # ---- in both

    def _begun(self, block: Block, begin: Callable[[], None]) -> Lease:
        try:
            begin()
            self._blocks.append(block)
        except BaseException:  # interrupted: nobody would ever release it
            block.lease.release()
            raise
        return block.lease

    def _leave(self) -> Block:
        """What this owner entered last: one object may be used by several threads at once."""
        blocks = self._blocks
        if len(blocks) == 1:  # then it is this owner's; what others enter comes behind it
            last = blocks[0]
        else:
            owner = self._volumes().owners.current()
            mine = [block for block in blocks if block.owner is owner]
            last = mine[-1] if mine else blocks[-1]
        blocks.remove(last)
        return last

    def _volumes(self) -> Volumes:
        if self._given_volumes is not None:
            return self._given_volumes
        from .process import of_this_process  # what it takes to run a session loads with the first

        return of_this_process()

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a function: every call takes the lease for its own duration; of a coroutine
        function or a generator, until its body has ended.

        Errors, besides those of the block: ``TypeError`` when what a plain function returns would
        go on after the lease (a coroutine, a generator, a future).
        """
        from .decorating import decorated

        leased: Callable[P, R] = decorated(function, self._again)
        return leased

    def _again(self) -> volume_lease:
        again = volume_lease(*self._order.paths, volumes=self._given_volumes)
        again._order = self._order
        return again
