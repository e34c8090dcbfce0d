"""One ``with`` block under a lease: what begins with it and what ends with it, in both worlds."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from volumelease.errors import AuthorityUnreachable

from .lease import Lease
from .losses import act_when_lost, end_this_process
from .owners import Held, Owner

if TYPE_CHECKING:
    from volumelease.enforce.ground import Cover

    from .tasks import Interruption


class Block:
    """``held`` is None when an outer block of the same owner holds the lease already."""

    __slots__ = ("_cover", "_held", "_interruption", "lease", "owner")

    def __init__(self, lease: Lease, owner: Owner, held: Held | None) -> None:
        self.lease = lease
        self.owner = owner
        self._held = held
        self._interruption: Interruption | None = None
        self._cover: Cover | None = None

    def begin(self) -> None:
        """The owner is inside."""
        if self._held is not None:
            self.owner.enter(self._held)
            guarding, terms = self.lease._terms.volumes.guarding, self.lease._terms
            if guarding is not None:
                self._cover = guarding.begin(terms.volume, terms.claims, self.lease)
        if self.lease._terms.on_lost == "signal":
            act_when_lost(self.lease, end_this_process)

    def begin_on_loop(self) -> None:
        """The current task is inside."""
        from .tasks import Interruption, this_loop

        self.lease._loop = this_loop()
        if self.lease._terms.on_lost == "raise":
            self._interruption = Interruption(self.lease)
        self.begin()

    def leave(self, error: BaseException | None) -> None:
        """The end of the block, in a thread. Errors: ``LeaseLost``."""
        lease, terms = self.lease, self.lease._terms
        lost = self._stop()
        if lease._end(lost):
            if terms.timeout is None:
                self._release()
            else:
                # Who set a timeout does not wait for a volume that hangs here either: then the
                # release goes on by itself, and the ttl frees the paths at the latest.
                try:
                    with suppress(AuthorityUnreachable):
                        terms.volumes.within(0.0, lambda _: lease._ask_release())
                except RuntimeError:  # no thread can be made: better wait than keep it for ever
                    self._release()
        else:
            self._left_to_others()
        self._judge(lost, error, interrupted=False)

    def _release(self) -> None:
        lease = self.lease
        try:
            lease._perform(lease._ask_release)
        except BaseException:  # interrupted: it goes on by itself, and is not in this owner's way
            self.owner.forget_abandoned()
            with suppress(RuntimeError):
                threading.Thread(
                    target=lease._ask_release, name="volumelease-give-back", daemon=True
                ).start()
            raise

    async def leave_on_loop(self, error: BaseException | None) -> None:
        """The end of the block, in a task. Errors: ``LeaseLost``."""
        from .tasks import finish

        lease = self.lease
        lost = self._stop()
        interrupted = self._interruption is not None and self._interruption.over(error)
        if lease._end(lost):
            await finish(lease._terms, lease._ask_release, error)
        else:
            self._left_to_others()
        self._judge(lost, error, interrupted=interrupted)

    def _left_to_others(self) -> None:
        """Who still uses the lease releases it: this owner's next request waits for them, and is
        not refused as waiting for itself."""
        if self._held is not None:
            self.owner.forget_abandoned()

    def _stop(self) -> bool:
        """The owner is no longer inside. Returns whether the lease was lost."""
        if self._held is not None:
            self.owner.leave(self._held)
        guarding, cover = self.lease._terms.volumes.guarding, self._cover
        if guarding is not None and cover is not None:
            guarding.end(cover)
        return self.lease.lost

    def _judge(self, lost: bool, error: BaseException | None, *, interrupted: bool) -> None:
        if not lost or self.lease._terms.on_lost == "ignore":
            return
        if error is None or interrupted:
            raise self.lease._lost_error() from error
        error.add_note(str(self.lease._lost_error()))
