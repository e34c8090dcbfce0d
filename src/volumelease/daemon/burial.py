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

from volumelease.drivers.crew import Job
from volumelease.errors import LeaseError
from volumelease.model import Discard

from .clients import Made, User
from .writers import Writer, writers_of

if TYPE_CHECKING:
    from .desk import Desk

LOOK_AGAIN_SECONDS: Final = 0.1
_TROUBLE_SECONDS: Final = 1.0
"""Until a burial that failed is tried again."""


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
        self._told: set[tuple[User, str]] = set()

    def begin(self, user: User) -> None:
        """``user.gone`` is set: nothing is added to what it has."""
        for desk in self._desks():
            if user.has_something(desk.volume):
                self._do(user, desk)

    def _do(self, user: User, desk: Desk) -> None:
        desk.crews.burials.keep(Job(lambda: self._bury(user, desk)))

    def _bury(self, user: User, desk: Desk) -> None:
        again: float | None = _TROUBLE_SECONDS
        try:
            found = writers(user, desk)
            if found:
                again = LOOK_AGAIN_SECONDS
                self._deal_with(user, desk, found)
            else:
                with suppress(LeaseError):  # a beat gives back the rest
                    give_back(user, desk)
                again = None
                self._told.discard((user, desk.volume))
        except Exception as error:  # noqa: BLE001 - told, and tried again
            self._tell_once(
                user,
                desk,
                f"what process {user.facts.pid} had on {desk.root.root} could not be given back, "
                f"which is tried again: {error!r}",
            )
        finally:
            if again is not None:
                self._later(again, lambda: self._do(user, desk))

    def _tell_once(self, user: User, desk: Desk, text: str) -> None:
        if (user, desk.volume) not in self._told:
            self._told.add((user, desk.volume))
            self._report(text)

    def _deal_with(self, user: User, desk: Desk, found: list[Writer]) -> None:
        live = {*self._live(), user.facts.pid}  # it may live, and only have left
        doomed = [one for one in found if one.beneath and one.pid not in live]
        if not self._ends_writers:
            doomed.clear()
        for writer in doomed:
            end(writer)
        verb = "ended" if found[0] in doomed else "waited for"
        self._tell_once(
            user,
            desk,
            f"process {user.facts.pid} has gone, and process {found[0].pid} still has "
            f"{found[0].path} open for writing: it is {verb} before the lease is given back",
        )


def give_back(user: User, desk: Desk) -> None:
    """Everything that a client which has gone had there. Errors: those of ``Desk.ask``; what is
    left is given back by a beat."""
    trouble: Exception | None = None
    live: set[int] = set()
    for token in user.tokens(desk.volume):
        try:
            desk.cancel(user, token)
        except Exception as error:  # noqa: BLE001 - raised when the others are done
            trouble = error
            live.add(token)
    for made in list(user.drafts.values()):
        kept = made.volume != desk.volume or made.kept or made.inherited
        # Of a lease that may still be live, a publish under way could be decided yet.
        if kept or made.draft.token in live or not _taken(user, made):
            continue
        with suppress(LeaseError):
            desk.hosted.ask(Discard(made.draft))
    if trouble is not None:
        raise trouble


def _taken(user: User, made: Made) -> bool:
    """Whether that draft is nobody's any more, and was neither published nor is being."""
    unique = made.draft.unique
    with user.lock:
        return unique not in user.publishing and user.drafts.pop(unique, None) is not None


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
            if held.adopted:  # which drafts an earlier daemon made for it, nobody knows
                made.add(desk.session)
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
