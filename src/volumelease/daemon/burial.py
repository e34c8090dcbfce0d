"""What happens to the leases of a client that died or left.

They are given back at once, unless somebody may still write what they cover: then those are waited
for, or ended first where the daemon may do that: with ``worker``, what descends from it and is no
client itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from volumelease.drivers.crew import Crew, Job
from volumelease.errors import LeaseError

from .clients import User
from .writers import Writer, writers_of

if TYPE_CHECKING:
    from .desk import Desk

LOOK_AGAIN_SECONDS: Final = 0.1


class Burials:
    """Buries clients. ``later``: call that in so many seconds; ``report`` tells a person."""

    def __init__(
        self,
        desks: Callable[[], Collection[Desk]],
        live: Callable[[], Collection[int]],
        later: Callable[[float, Callable[[], None]], None],
        report: Callable[[str], None],
        *,
        ends_writers: bool,
    ) -> None:
        self._desks = desks
        self._live = live
        self._later = later
        self._report = report
        self._ends_writers = ends_writers
        self._crew = Crew()
        self._told: set[User] = set()

    def begin(self, user: User) -> None:
        """``user.gone`` is set: nothing is added to what it has."""
        self._crew.do(Job(lambda: self._bury(user)), urgent=True)

    def _bury(self, user: User) -> None:
        waits = False
        for desk in self._desks():
            found = writers(user, desk)
            if found:
                waits = True
                self._deal_with(user, found)
                continue
            with suppress(LeaseError):  # a beat gives back the rest
                desk.bury(user)
        if waits:
            self._later(LOOK_AGAIN_SECONDS, lambda: self.begin(user))
        else:
            self._told.discard(user)

    def _deal_with(self, user: User, writers: list[Writer]) -> None:
        live = self._live()
        doomed = [one for one in writers if one.beneath and one.pid not in live]
        if not self._ends_writers:
            doomed.clear()
        if user not in self._told:
            self._told.add(user)
            first = writers[0]
            verb = "ended" if first in doomed else "waited for"
            self._report(
                f"process {user.facts.pid} has gone, and process {first.pid} still has "
                f"{first.path} open for writing: it is {verb} before the lease is given back"
            )
        for writer in doomed:
            end(writer)


def writers(user: User, desk: Desk) -> list[Writer]:
    """Who could still write what that dead client had there."""
    return writers_of(user.facts, desk.root, _written(user, desk))


def is_left_alone(desk: Desk) -> bool:
    """Whether all clients that have something there are dead, and nobody writes that."""
    return all(user.is_dead() and not writers(user, desk) for user in desk.users())


def _written(user: User, desk: Desk) -> set[str]:
    """The keys that this client alone may write, and where its drafts are or went."""
    keys: set[str] = set()
    with user.lock:
        for (volume, token), held in user.held.items():
            asked = held.acquire if volume == desk.volume and held.granted else None
            if asked is None or not asked.exclusive or desk.hosted.loss_of(token):
                continue
            keys.update(claim.key for claim in asked.claims)
            made = {one.draft.unique for one in user.drafts.values() if one.draft.token == token}
            for unique in held.drafts | made:
                for place in (desk.layout.stage(unique), desk.layout.version(unique)):
                    keys.add(place.removeprefix(desk.layout.root).lstrip("/"))
    return keys


def end(writer: Writer) -> None:
    """SIGKILL to that very process, if it is still there."""
    from volumelease.host import this_process

    with suppress(OSError):
        descriptor = os.pidfd_open(writer.pid)
        try:
            if this_process(writer.pid).start_time == writer.start_time:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
