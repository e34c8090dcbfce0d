"""The guard of this process, told of its volumes and leases."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from volumelease.core.conflicts import covers
from volumelease.drivers.threads import Patience
from volumelease.model import Claim

if TYPE_CHECKING:
    from collections.abc import Callable

    from volumelease.enforce.ground import Cover
    from volumelease.paths.locate import VolumeRoot

    from .hosting import Hosting
    from .lease import Lease

_ASK_SECONDS = 0.5


class Guarding:
    """Arms the guard for each volume in use and tells it what is leased there.

    From the first lease on a volume to the end of the process; ``enforced`` False only says what
    it would refuse. ``inherited``: what a launcher (``hold``, ``Lease.run``) leased exclusively
    for this process, and ends it with.
    """

    def __init__(
        self, *, enforced: bool, say: Callable[[str], None], inherited: tuple[str, ...] = ()
    ) -> None:
        self._enforced = enforced
        self._inherited = inherited
        self._say = say
        self._patience = Patience()
        self._its: Any = None
        """The guard's module, from the first volume on; it is not needed before."""

    def arm(self, root: VolumeRoot, volume: str, hosted: Hosting[Any]) -> None:
        from volumelease.enforce import guard

        self._its = guard
        ground, new = guard.guard.arm(root, volume)
        guard.guard.say = self._say
        ground.enforced = self._enforced
        ground.refused = lambda: hosted.tally.count("denied_writes_total", "python")
        ground.explain = lambda name: self._explain(hosted, name)
        if new:
            if self._inherited:
                guard.guard.begin(volume, ground.inherited(self._inherited))
            _tell_at_start(root.root, self._enforced)

    def begin(self, volume: str, claims: tuple[Claim, ...], lease: Lease) -> Cover | None:
        """From here on, ``lease`` covers writes there. Give the result to ``end``."""
        if self._its is None:
            return None  # no session of this process's own: nothing is guarded
        cover: Cover = self._its.Cover(tuple([claim.key for claim in claims]), lease)
        self._its.guard.begin(volume, cover)
        return cover

    def end(self, cover: Cover) -> None:
        self._its.guard.end(cover)

    def _explain(self, hosted: Hosting[Any], name: str) -> tuple[dict[str, Any], str]:
        """Who holds that place, as far as this process knows without asking the volume. In
        another thread: the code that writes may be inside of what the answer needs."""
        from .flows import clock_time

        if hosted.pid != os.getpid():
            return {}, ""  # a forked child: nobody is there to answer
        claim = Claim(name, name)
        try:
            holder = self._patience.call(lambda _: hosted.who_holds(claim), _ASK_SECONDS)
        except Exception:  # noqa: BLE001 - an error that explains less is better than another one
            return {}, ""
        if holder is None:
            return {}, "Nobody holds it"
        own = hosted.is_own(holder)
        who = "another block of this process" if own else str(holder)
        if any(covers(name, path) and path != name for path in holder.paths):
            who = f"in part by {who}"
        facts = {"holder": holder, "token": holder.token, "since": holder.since}
        return facts, f"Held by {who} since {clock_time(holder.since)} (token {holder.token})"


def _tell_at_start(root: str, enforced: bool) -> None:
    """The level in force, one line. Whoever has not loaded logging has nowhere to read it."""
    import sys

    if "logging" in sys.modules:
        import logging  # waits for a thread that is just importing it: it has no names yet

        what = "need a lease of this process" if enforced else "without a lease are told"
        mode = "enforce" if enforced else "warn"
        logging.getLogger("volumelease").info(
            "enforcement: level python: writes on %s %s (VOLUMELEASE_GUARD=%s)", root, what, mode
        )
