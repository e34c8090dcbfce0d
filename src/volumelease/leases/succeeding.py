"""How a daemon goes on with the sessions of one that is provably gone."""

from __future__ import annotations

from volumelease.host import ProcessFacts
from volumelease.paths.locate import VolumeRoot

from . import choosing
from .hosting import HostedSession
from .volumes import Volumes


def resume(
    volumes: Volumes,
    root: VolumeRoot,
    volume: str,
    session: str,
    predecessor: ProcessFacts,
    until: float,
) -> HostedSession | None:
    """Go on with a session of that name, whose process is provably gone; None where that can't be
    done, as where a Redis keeps it: calls of a dead process can still be on their way there.
    Errors: those of ``Session.resume``."""
    identity = choosing.existing(root, volumes.surroundings)
    if identity is None or identity.id != volume or identity.authority != "volume":
        return None
    facts, tally = volumes.facts(), volumes.tally_of(identity)
    hosted = choosing.host_in_log(root, identity, facts, volumes.surroundings, tally, session)
    hosted.resume(predecessor, until)
    if volumes.adopt(root, identity, hosted):
        return hosted
    # Somebody did not wait for this one. Its other clients may believe in it: no Close yet.
    hosted.session.pulse.lose("another session took its place")
    return None
