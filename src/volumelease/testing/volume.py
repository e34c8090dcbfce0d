"""A volume in memory, in the place of this process's real ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from volumelease.authorities.answers import describe
from volumelease.authorities.memory import MemoryAuthority
from volumelease.clock import Clock, SystemClock
from volumelease.core.records import SessionFacts
from volumelease.drivers.files import Files
from volumelease.errors import VolumeNotFound
from volumelease.host import ProcessFacts
from volumelease.leases import volumes as real
from volumelease.leases.order import AnyPath, Mode
from volumelease.leases.process import exchange
from volumelease.model import Acquire, Claim, Granted, Release
from volumelease.paths.canonical import VolumePath
from volumelease.paths.locate import VolumeRoot
from volumelease.paths.mounts import UNSEEN
from volumelease.paths.resolve import below, text_of
from volumelease.settings import Settings

from .hosted import HostedInMemory, Memory

if TYPE_CHECKING:
    from types import TracebackType


class LeaseSeen(NamedTuple):
    """A lease of a volume in memory, as a test sees it. ``here``: of the code under test, else
    of ``held_elsewhere``."""

    paths: tuple[str, ...]
    mode: Mode
    token: int
    here: bool
    reason: str


class MemoryVolume:
    """A volume in memory. Inside the ``with`` block, every ``volume_lease`` of this process on
    ``root`` or below it is answered from here, sync and async; other paths are on no volume.

    ``clock`` measures timeouts; a ``ManualClock`` for tests without waiting. ``settings`` as in
    ``VOLUMELEASE_...``; the environment is not read.

    Promise: the same order, conflicts, deadlocks and tokens as on a real volume. Limits: paths
    are taken by their words, symlinks are not followed; nothing ever hangs; a lease is lost only
    when the test says so (``lose``).
    """

    def __init__(
        self,
        root: AnyPath = "/runpod-volume",
        *,
        clock: Clock | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.root = os.path.abspath(text_of(root))
        self.notices: list[str] = []
        """What a user would have been told in the log: long waits."""
        clock = clock or SystemClock()
        self._memory = Memory(MemoryAuthority(clock), self.notices.append, clock)
        surroundings = real.Surroundings(
            settings=settings or Settings(),
            process=_NOBODY,
            clock=clock,
            performer=Files(),
            report=self.notices.append,
        )
        self.volumes = _InMemory(surroundings, self.root, self._memory)
        """For ``volume_lease(..., volumes=...)``, where a test wants no change of the process."""
        self._before: Any = None

    def __enter__(self) -> MemoryVolume:
        self._before = exchange(self.volumes)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        exchange(self._before)
        self.volumes.close()

    @property
    def leases(self) -> tuple[LeaseSeen, ...]:
        """What is held now, oldest first."""
        return tuple(seen for granted, seen in self._seen() if granted)

    @property
    def waiting(self) -> tuple[LeaseSeen, ...]:
        """What is asked for and not granted yet, first in the queue first."""
        return tuple(seen for granted, seen in self._seen() if not granted)

    def _seen(self) -> Iterator[tuple[bool, LeaseSeen]]:
        with self._memory.lock:
            table = self._memory.authority.table
            holders = [describe(table, table.holdings[token]) for token in sorted(table.holdings)]
        for holder in holders:
            here = holder.endpoint != _ELSEWHERE
            mode: Mode = "exclusive" if holder.exclusive else "shared"
            shown = self._shown(holder.paths)
            yield holder.granted, LeaseSeen(shown, mode, holder.token, here, holder.reason)

    def _shown(self, paths: Iterable[str]) -> tuple[str, ...]:
        base = self.root.rstrip("/")
        return tuple(f"{base}/{path}" if path else self.root for path in paths)

    @contextmanager
    def held_elsewhere(
        self, *paths: AnyPath, shared: bool = False, reason: str = ""
    ) -> Iterator[LeaseSeen]:
        """Inside the block, a worker on another host holds these paths. Errors:
        ``AssertionError`` if it can't have them at once; ``VolumeNotFound``."""
        claims = tuple(Claim(*self.volumes.find(path)[1]) for path in paths)
        facts = SessionFacts(ProcessFacts("elsewhere", "", 0, 1, 0), endpoint=_ELSEWHERE)
        session = HostedInMemory(self._memory, facts)
        answer = session.ask(Acquire(claims, not shared, "elsewhere", wait=False, reason=reason))
        assert isinstance(answer, Granted), f"not free: {answer}"
        shown = self._shown(claim.path for claim in claims)
        try:
            yield LeaseSeen(shown, "shared" if shared else "exclusive", answer.token, False, reason)
        finally:
            session.ask(Release(answer.token))
            session.close()

    def lose(self, reason: str = "the test said so") -> None:
        """All leases of the code under test are lost, as if this worker had been cut off for
        longer than its ttl: others may have the paths now. ``on_lost`` is obeyed at once."""
        self.volumes.lose(reason)


_ELSEWHERE = "elsewhere"
_NOBODY = ProcessFacts("here", "", 0, os.getpid(), 0)


class _InMemory(real.Volumes):
    """The volumes of a process whose only volume is in memory."""

    def __init__(self, surroundings: real.Surroundings, root: str, memory: Memory) -> None:
        super().__init__(surroundings)
        self._root = VolumeRoot(root, root, UNSEEN, initialised=True)
        self._memory = memory
        self._hosted: HostedInMemory | None = None

    def find(self, path: AnyPath) -> tuple[VolumeRoot, VolumePath]:
        """By its words alone. Errors: ``PathInvalid``, ``VolumeNotFound``."""
        import unicodedata

        text = os.path.abspath(text_of(path))
        rest = below(text, self._root.root)
        if rest is None:
            raise VolumeNotFound(
                f"{text} is not on the volume in memory at {self._root.root}",
                advice="Give MemoryVolume(...) a directory above it",
                path=text,
            )
        return self._root, VolumePath(rest, unicodedata.normalize("NFC", rest))

    def live(self, root: VolumeRoot) -> HostedInMemory:
        """The session of this process; a new one if the last was lost."""
        with self._memory.lock:
            if self._hosted is None or self._hosted.over:
                self._refuse_when_closed()
                self._hosted = HostedInMemory(self._memory, self.facts())
            return self._hosted

    def undisturbed(self, *anything: Any) -> bool:
        """No link can have moved."""
        return True

    def patience(self, timeout: float | None) -> float | None:
        """Nothing here hangs."""
        return None

    def lose(self, reason: str) -> None:
        if self._hosted is not None:
            self._hosted.lose(reason)

    def close(self) -> None:
        """End its session."""
        self._closed = True
        if self._hosted is not None:
            self._hosted.close()
