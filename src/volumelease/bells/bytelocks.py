"""The fcntl bell: every session keeps one byte of the volume's lock file, and lets go of it for a
moment after it committed a grant to somebody else. Who waits behind a session blocks for its byte.

It needs nothing but the mount. Where locks don't reach other hosts, or not even this one, a
waiter finds the byte free although its session lives, and polls. A process that dies rings too,
because its locks go with it; a host that was cut off doesn't (MooseFS keeps its locks for a day).
"""

from __future__ import annotations

import threading
import time
from typing import Final

from .daemons import started
from .ears import Ear
from .lockfile import BELL_SEATS, LockFile, byte_of

FIRST_RETRY_SECONDS: Final = 0.25
LAST_RETRY_SECONDS: Final = 8.0
"""How long after a byte was found free (or no seat, or an error) it is tried again; doubled each
time."""

_MOST_REMEMBERED: Final = 128

RING_SECONDS: Final = 0.004
"""For how long the byte is let go: a local file system wakes waiters, who then try again, and to
be faster than they are would be no ring."""

TAKE_PAUSES: Final = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.5)
"""After a ring the byte is taken again as soon as those who were woken have let go of it. Who
never does (its host was cut off that very moment) costs this session its bell."""


class ByteBell:
    """The fcntl bell of one session. Its threads are daemons and never joined."""

    def __init__(self, file: LockFile, session: str, ear: Ear) -> None:
        self._file = file
        self._byte = byte_of(session)
        self._ear = ear
        self._rings = threading.Event()
        self._closed = False
        self._lock = threading.Lock()
        self._blocked: set[int] = set()
        """Bytes a thread of ours blocks for."""
        self._threads: set[int] = set()
        self._free: dict[int, tuple[float, float]] = {}
        """Bytes that could not be waited for: until when they are left alone, and that pause."""

    # ---- ringing

    def start(self) -> None:
        """Take this session's byte, in a thread of its own: the first lease waits for no lock."""
        started("volumelease-ring", self._serve)

    def ring(self) -> None:
        self._rings.set()

    def close(self) -> None:
        self._closed = True
        self._rings.set()

    def _serve(self) -> None:
        while not self._closed:
            try:
                self._file.open()
                self._hold()
                self._rings.wait()
                self._rings.clear()
                self._let_go()
                time.sleep(RING_SECONDS)
            except OSError:  # no locks here, no space for the file, a mount in trouble
                time.sleep(LAST_RETRY_SECONDS)

    def _hold(self) -> None:
        """Take the byte. Whoever has it (or has the same one) may keep it: then nobody can be
        rung for until the next time."""
        for pause in TAKE_PAUSES:
            if self._closed or self._rings.is_set():
                return
            if self._file.take(self._byte):
                self._file.own.add(self._byte)
                return
            time.sleep(pause)

    def _let_go(self) -> None:
        self._file.own.discard(self._byte)
        self._file.drop(self._byte)

    # ---- listening

    def arm(self, ahead: tuple[str, ...]) -> None:
        """Have a thread block for the byte of each of those sessions."""
        if not self._file.ready:
            return
        now = time.monotonic()
        for session in ahead:
            byte = byte_of(session)
            with self._lock:
                if byte in self._threads or byte in self._file.own:
                    continue
                if self._free.get(byte, (0.0, 0.0))[0] > now or len(self._threads) >= BELL_SEATS:
                    continue
                self._threads.add(byte)
            if not started("volumelease-bell", self._block, byte):
                self._threads.discard(byte)

    def armed(self, ahead: tuple[str, ...]) -> bool:
        """Whether a ring of each of ``ahead`` would be heard now."""
        return bool(ahead) and all(byte_of(session) in self._blocked for session in ahead)

    def _block(self, byte: int) -> None:
        """One ring. Blocking can't be taken back, so a thread that nobody needs any more stays
        until then, on its seat."""
        rung = False
        try:
            rung = self._hear_one(byte)
        except OSError:  # EDEADLK: two sessions wait for each other's paths, and may
            pass
        finally:
            with self._lock:
                self._blocked.discard(byte)
                self._threads.discard(byte)
                self._note(byte, rung)

    def _hear_one(self, byte: int) -> bool:
        if self._file.is_free(byte):  # it belongs to nobody who could ring with it
            return False
        seat = self._file.sit_down(0, BELL_SEATS)
        if seat is None:
            return False
        try:
            self._blocked.add(byte)
            self._file.await_ring(byte)
            self._ear.hear()  # first: that is what somebody waits for
            self._file.drop(byte)
        finally:
            self._file.get_up(seat)
        return True

    def _note(self, byte: int, rung: bool) -> None:
        if rung:
            self._free.pop(byte, None)
            return
        if len(self._free) > _MOST_REMEMBERED:
            self._free.clear()
        pause = min(LAST_RETRY_SECONDS, 2 * self._free.get(byte, (0.0, FIRST_RETRY_SECONDS / 2))[1])
        self._free[byte] = (time.monotonic() + pause, pause)
