"""What a beat looks at on the volume itself: that it is still the one this session belongs to.

The identity of a volume whose leases a Redis keeps is a file, made once (O_EXCL). If it is gone or
another one, whoever comes next asks another authority, so what this session holds means nothing.

Beside it lies which memory of which Redis was last in use (``redis``): two workers with two
addresses would have two tables. A Redis that is new to a volume begins with a grace, which nobody
ends who has not seen the note of it stand there for a ttl; everybody who beats elsewhere finds it
in a third of that, and is lost. Limits: as late as the mount shows another host's writes; where
nothing can be written or renamed on the volume, a grace lasts until something can; a note that an
older one replaced, and another session put back, between two beats of who ends the grace is not
noticed by that one.
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
from volumelease.effects import (
    ReadFile,
    ReadLink,
    Rename,
    Steps,
    Symlink,
    Unlink,
    WriteNew,
)
from volumelease.errors import (
    AuthorityUnreachable,
    LeaseError,
    LogDamaged,
    SettingsMismatch,
    VolumeUnsuitable,
)
from volumelease.wire.identity import Identity

from .calling import NONE_YET, Calls, Memory
from .tokens import incarnation_of
from .watching import standing_things

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


LARGEST: Final = 2**31 - 2**27
"""An incarnation that somebody made up must not use up what tokens can hold (2**31 - 1): the next
ones are larger."""


def newest_memory(layout: Layout) -> Steps[Memory | None]:
    """What was last in use, as far as the volume tells."""
    try:
        return (yield from _noted(layout))
    except OSError:
        return None


def _noted(layout: Layout) -> Steps[Memory | None]:
    """What the note says; None where there is none, or what is no note. Errors: ``OSError``, when
    there may be one."""
    place = layout.folder("redis")
    there = True
    try:
        return _memory_in((yield ReadFile(place)))
    except OSError as error:
        there = error.errno != errno.ENOENT
    try:
        link: str = yield ReadLink(place)  # that leads nowhere: what a full volume took
    except FileNotFoundError:
        if there:
            raise
        return None
    return _memory_in(link.encode(errors="replace"))


def _memory_in(content: bytes) -> Memory | None:
    incarnation, _, nonce = content.decode(errors="replace").strip().partition(" ")
    if not (incarnation.isdecimal() and incarnation.isascii() and len(incarnation) < 11 and nonce):
        return None
    known = Memory(int(incarnation), nonce)
    return known if known.incarnation < LARGEST else None


def _note(layout: Layout, memory: Memory, session: str) -> Steps[None]:
    """Put it there in one step, so that nobody reads half of it. ``session`` is the one that does.
    Errors: ``OSError``; whether it is there is then to be read."""
    place = layout.folder("redis")
    aside = f"{place}.{session}"
    try:
        yield WriteNew(aside, f"{memory}\n".encode())
    except OSError:  # a full volume takes no bytes, and still a link; or a try before left one
        with suppress(OSError):
            yield Unlink(aside)
        yield Symlink(str(memory), aside)
    yield Rename(aside, place)


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
        self.noted = NONE_YET
        """The memory that the note named when it was last read and was that of this session."""

    def standing(self, grace: bytes, marked: list[bytes], memory: Memory) -> list[tuple[str, str]]:
        """As ``standing_things``; a grace only once the volume tells of its memory, so that who
        beats elsewhere has a ttl to find it."""
        return standing_things(grace if self.noted == memory else b"", marked, memory)

    def lets_end(self, identity: Identity, memory: Memory) -> Steps[bool]:
        """Whether the grace of that memory may end by what the volume says, now."""
        if not (yield from confirmed(self._layout.root, identity)):
            return False
        with suppress(OSError):
            return bool((yield from _noted(self._layout)) == memory)
        return False

    def _newer(self) -> Steps[tuple[Memory, Memory | None]]:
        """The memory of this session and, if that is another one, a newer one that is in use; if
        there is none, its own is noted. A note that can't be read gives no verdict, and is left
        alone."""
        try:
            known = yield from _noted(self._layout)
        except OSError:
            return self._calls.memory, None
        memory = self._calls.memory  # as it is now: another thread may have rejoined meanwhile
        # Once seen, it has to go on standing: under an older one, which a session that had stopped
        # put there late, a beat elsewhere counted meanwhile.
        stood = known == memory or self.noted != memory
        if known is None or known < memory:
            with suppress(OSError):
                yield from _note(self._layout, memory, self._calls.session)
            known = yield from newest_memory(self._layout)
        self.noted = memory if stood and known == memory else NONE_YET
        return memory, known if known is not None and known > memory else None

    def judge(self) -> Steps[str]:
        """Why leases of this volume are kept elsewhere too, or "". Errors: as ``Calls.once``, also
        until it is sure: then the beat does not count."""
        memory, newer = yield from self._newer()
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
