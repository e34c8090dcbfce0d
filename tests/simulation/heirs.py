"""Daemons that take the place of killed ones, as the daemon does: users outlive their daemon, and a
successor goes on with its session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumelease.effects import ProveDeath, Sleep
from volumelease.errors import LeaseError

from .process import Script

if TYPE_CHECKING:
    from .process import Process
    from .worker import Worker


class Lives:
    """The locks that the first processes of containers keep, as everybody sees them at once."""

    def __init__(self) -> None:
        self._keepers: dict[str, Process] = {}

    def keep(self, session: str, keeper: Process) -> None:
        self._keepers[session] = keeper

    def is_free(self, session: str) -> bool:
        keeper = self._keepers.get(session)
        return keeper is None or keeper.killed


def resume(heir: Worker, before: Worker) -> Script:
    """The session of ``before``, or None if it could not be gone on with."""
    old, clock = before.session, heir.process.host.clock
    heir.page.deadline = before.page.deadline
    if old is None or old.pulse.lost:
        return None
    gone = False
    while not gone and heir.fleet.world.random.random() < 0.9:
        gone = yield ProveDeath(before.process.facts)
        yield Sleep(0.1 * heir.fleet.world.random.random())
    session = heir.session_of(old.identity, old.name)
    try:
        yield from session.resume(before.process.facts, before.page.deadline)
    except (LeaseError, OSError) as error:
        heir.fleet.world.note(heir.process.name, f"not resumed: {error}")
        return None
    heir.fleet.world.note(heir.process.name, f"went on with {session.name}")
    heir.serve(session)
    for held in [] if heir.fleet.setup.containers else list(before.held):
        if clock.boottime() < before.page.deadline and not held.ended:
            held.worker, held.session = heir, session
            heir.held.append(held)
            heir.go_on_with(held)
    claimed = {held.token for held in heir.held}
    for token in set(session.requests.wanted) - claimed:
        del session.requests.wanted[token]  # nobody came back for it: a beat gives it back
    return session
