"""The keeper of ``populate``: it makes the draft before the command starts, and publishes it when
all of the command is gone."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from volumelease.errors import LeaseError
from volumelease.leases.populating import is_published, reporting
from volumelease.leases.staging import Stage, discard, publish_or_discard
from volumelease.model import Claim

from . import orders
from .keeper import Keeper, packed
from .orders import Message

if TYPE_CHECKING:
    from volumelease import Lease

_WATCHED_SECONDS: Final = 1.0
_SHOWN: Final = 20
"""How much of a path fits into a line of a terminal together with the rest."""
_PUBLISH_LOOK_SECONDS: Final = 0.05


class Builder(Keeper):
    """Keeps the lease of one path for a command that builds what is to be published there."""

    _stage: Stage | None = None

    def _acquire(self) -> Lease | None:
        (path,) = self._wish.paths
        root, where = self._volumes.find(path)
        if is_published(path):
            self._nothing_to_do()
            return None
        seconds = _WATCHED_SECONDS if self._wish.watched else None
        target = Claim(where.display, where.key)
        shown = f"...{path[-_SHOWN:]}" if seconds and len(path) > _SHOWN else path
        with reporting(self._volumes, root, target, shown, self._progress, seconds) as stop:
            lease = super()._acquire()
            stop.set()
        assert lease is not None
        try:
            if is_published(path):
                self._nothing_to_do()
                return None
            self._prepare(lease, path)
        except BaseException:
            self._volumes.close()  # the next one need not wait for a ttl
            raise
        return lease

    def _nothing_to_do(self) -> None:
        self._volumes.close()
        self._reports.send(Message(orders.PRESENT))

    def _prepare(self, lease: Lease, path: str) -> None:
        self._stage = stage = Stage(lease, path, resume=self._wish.resume)
        place = stage.__enter__()
        if stage.resumed:
            self._note("going on where a builder that was ended left off")
        self._reports.send(Message(orders.DRAFT, text=str(place)))

    def _progress(self, text: str) -> None:
        self._reports.send(Message(orders.PROGRESS, text=text))

    # ---- the end

    def _give_back(self, lease: Lease) -> None:
        draft = self._stage.draft if self._stage is not None else None
        if draft is not None and self._order.kind == orders.PUBLISH:
            self._publish(lease)
        elif draft is not None and not (self._wish.resume and (self._alone or self._order.number)):
            lease.release()  # the next one need not wait until a large tree is removed
            discard(lease, draft)
        super()._give_back(lease)

    def _publish(self, lease: Lease) -> None:
        """Publish while the lease is watched: a volume that hangs is told as a loss in time."""
        done = threading.Event()
        report = Message(orders.PUBLISHED)

        def work() -> None:
            nonlocal report
            assert self._stage is not None
            assert self._stage.draft is not None
            try:
                publish_or_discard(lease, self._stage.draft)
            except BaseException as error:  # noqa: BLE001 - hold tells the person
                report = Message(orders.REFUSED, text=packed(error))
            finally:
                done.set()

        threading.Thread(target=work, daemon=True).start()
        while not done.wait(_PUBLISH_LOOK_SECONDS):
            if lease.remaining <= 0:
                done.wait(_PUBLISH_LOOK_SECONDS)
                if not done.is_set():
                    report = Message(orders.LOST, at=_now(), text=orders.WHILE_PUBLISHING)
                break
        if report.kind != orders.LOST:
            self._close_quietly()
        self._reports.send(report)

    def _close_quietly(self) -> None:
        """Free the path before anybody is told that it is published, or not."""
        try:
            self._volumes.close()
        except (LeaseError, OSError) as error:
            self._note(f"the lease ends with its ttl: {error}")


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
