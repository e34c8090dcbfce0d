"""What a beat looks at on the volume itself: that it is still the one this session belongs to.

The identity of a volume whose leases a Redis keeps is a file, made once (O_EXCL). If it is gone or
another one, whoever comes next asks another authority, so what this session holds means nothing.

Beside it lies which memory of which Redis was last in use (``redis``): two workers with two
addresses would have two tables. A Redis that is new to a volume begins with a grace of a ttl, and
a third of that is the time in which everybody who beats elsewhere finds the newer one here and is
lost. Limit: as late as the mount shows another host's writes.
"""

from __future__ import annotations

import errno
import math
from contextlib import suppress
from typing import Final

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import Layout
from volumelease.clock import Clock
from volumelease.core.liveness import Timing
from volumelease.effects import ReadFile, Steps, WriteDurably
from volumelease.errors import (
    AuthorityUnreachable,
    LeaseError,
    LogDamaged,
    SettingsMismatch,
    VolumeUnsuitable,
)
from volumelease.wire.identity import Identity

from .calling import Calls, Memory
from .tokens import incarnation_of

OTHER_REDIS: Final = (
    "another Redis than that of this worker keeps leases of this volume: the workers' "
    "VOLUMELEASE_REDIS_URL lead to different ones"
)
ONE_ADDRESS: Final = "Set VOLUMELEASE_REDIS_URL to the same server on all workers"


def still_this_volume(root: str, identity_id: str) -> Steps[str]:
    """Why it is not, or "". A volume that does not answer, or only in parts, gives no verdict: the
    lease is the Redis's, and the file was made once."""
    try:
        identity = yield from founding.read_identity(root)
    except VolumeUnsuitable as error:
        cause = error.__cause__
        gone = isinstance(cause, OSError) and cause.errno == errno.ENOTDIR
        return "the volume's identity is gone" if gone else ""
    except (LogDamaged, SettingsMismatch):
        return "the volume has another identity now"
    except ConnectionError:  # AuthorityUnreachable
        return ""
    if identity is None:
        return "the volume's identity is gone"
    if identity.id != identity_id or identity.authority != "redis":
        return "the volume has another identity now"
    return ""


def confirmed(root: str, identity: Identity) -> Steps[bool]:
    """Whether the volume itself says so, now. Who ends a grace must know: a Redis that forgot that
    the leases moved to another authority begins with a grace, and must stay in it."""
    try:
        found = yield from founding.read_identity(root)
    except LeaseError:
        return False
    return found is not None and (found.id, found.era) == (identity.id, identity.era)


LARGEST: Final = 2**32
"""An incarnation that somebody made up must not use up what tokens can hold."""


def newest_memory(layout: Layout) -> Steps[Memory | None]:
    """What was last in use, as far as the volume tells."""
    try:
        content: bytes = yield ReadFile(layout.folder("redis"))
    except OSError:
        return None
    incarnation, _, nonce = content.decode(errors="replace").strip().partition(" ")
    if not (incarnation.isdecimal() and incarnation.isascii() and len(incarnation) < 11 and nonce):
        return None
    known = Memory(int(incarnation), nonce)
    return known if known.incarnation < LARGEST else None


def newer_than(layout: Layout, memory: Memory) -> Steps[Memory | None]:
    """A memory that is in use and newer than that one; if there is none, that one is noted."""
    known = yield from newest_memory(layout)
    if known is not None and known >= memory:
        return known if known > memory else None
    with suppress(OSError):
        yield WriteDurably(layout.folder("redis"), f"{memory}\n".encode())
    return None


def least_memory(identity: Identity) -> Memory:
    """Every token of this one is above those of the log that had the leases before."""
    return Memory(incarnation_of(identity.above) if identity.era else 0, "")


def evicts(root: str, policy: str) -> VolumeUnsuitable:
    return VolumeUnsuitable(
        f"the Redis that keeps the leases of {root} has maxmemory-policy {policy}: to make room it "
        "throws away whatever it likes, a lease too",
        advice="CONFIG SET maxmemory-policy noeviction, or give leases a Redis of their own",
        root=root,
        fstype="",
    )


class Elsewhere:
    """Whether another Redis keeps leases of this volume too, for one session that beats."""

    def __init__(self, calls: Calls, layout: Layout, clock: Clock, timing: Timing) -> None:
        self._calls = calls
        self._layout = layout
        self._clock = clock
        self._patience = timing.beat_interval / 2
        self._since = math.inf

    def judge(self, nonce: str) -> Steps[str]:
        """Why leases of this volume are kept elsewhere too, or "". ``nonce``: of the memory that
        answered. Errors: as ``Calls.once``, also until it is sure: then the beat does not count."""
        memory = Memory(self._calls.incarnation, nonce)
        newer = yield from newer_than(self._layout, memory)
        if newer is None:
            self._since = math.inf
            return ""
        yield from self._calls.once("look", 0)  # else it is ours, which just forgot
        forgot = self._calls.incarnation > memory.incarnation
        if forgot and self._calls.incarnation >= newer.incarnation:
            return ""
        now = self._clock.monotonic()
        self._since = min(self._since, now)
        if now - self._since < self._patience:
            # Ours may have forgotten the newer one, and be told so by who was there.
            raise AuthorityUnreachable(
                OTHER_REDIS, advice=ONE_ADDRESS, root=self._layout.root, seconds=0.0
            )
        return OTHER_REDIS
