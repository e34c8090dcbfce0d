"""Life locks: the second proof of death, for whoever shares no pid namespace with the dead.

PID 1 of a container keeps one byte of the volume's lock file from before its session is opened to
its own end, and never lets go of it in between. When PID 1 ends the kernel ends everything in its
pid namespace, so all users of its leases end with it. Limits: a host that was cut off keeps its
locks (a day on MooseFS): then the ttl decides; and what was in flight may still land.
"""

from __future__ import annotations

import time
from typing import Final

from .lockfile import LockFile, life_byte_of

_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.01


class Lives:
    """The life locks of one volume, as ``effects.Life``. Errors: ``OSError``."""

    def __init__(self, file: LockFile) -> None:
        self._file = file

    def take(self, session: str) -> bool:
        """Keep it from now on, to the end of this process. Whoever looks has it for a moment."""
        self._file.open()
        byte = life_byte_of(session)
        for _ in range(_TRIES):
            if self._file.take(byte):
                self._file.own.add(byte)
                return True
            time.sleep(_PAUSE_SECONDS)
        return False

    def is_free(self, session: str) -> bool:
        """Limit: one that this very process has is never found free, and looking at it would let
        go of it."""
        self._file.open()
        byte = life_byte_of(session)
        return byte not in self._file.own and self._file.is_free(byte)
