"""Directories that were there before anybody published, and workers that adopt one in their way.

Each is as whole as a publish is, and names somebody who never had a lease: so the checker of
publishes can tell it from all others, and a whole one from a torn one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumelease.authorities.volume.adopting import Adopting
from volumelease.errors import LeaseError
from volumelease.model import Claim

from . import mover
from .process import Script
from .volume import Server

if TYPE_CHECKING:
    from .held import Held
    from .worker import Worker


def old_name(place: str) -> str:
    """What the content of the directory that was there before is called."""
    return f"old-{place.replace('/', '-')}"


def make_old_directories(server: Server, places: tuple[str, ...]) -> None:
    """As they stood long before the run: no crashing master forgets them."""
    for place in places:
        parent = server.root
        for name in place.split("/"):
            if name not in parent.entries:
                parent.entries[name] = server.node("directory")
            parent = parent.entries[name]
        for name in mover.FILES:
            parent.entries[name] = server.node("file")
            parent.entries[name].content = mover.content_of(old_name(place))


def adopts(worker: Worker, held: Held, place: str) -> Script:
    """Under an exclusive lease, as ``volumelease adopt`` does; at any moment it may die or be
    interrupted, and then whoever comes next finishes it."""
    session, world = held.session, worker.fleet.world
    adopting = Adopting(session.publishing, lambda: f"{session.name}-{world.unique()}")
    try:
        answer: Any = yield from worker.ask_for(
            session, adopting.adopt(held.token, Claim(place, place)), None
        )
        world.note(worker.process.name, f"adopts {place}: {answer}")
    except (LeaseError, OSError, KeyboardInterrupt) as error:
        world.note(worker.process.name, f"adopts {place}: {error!r}")
