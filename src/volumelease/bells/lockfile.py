"""One descriptor of a volume's lock file, and POSIX locks on single bytes of it.

POSIX locks belong to a process: they don't exclude its own threads, a forked child has none, and
closing ANY descriptor of the file in the process drops them all. So each process opens the file
once for each volume and never closes it. Never ``flock`` or OFD locks: those leak into children.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from typing import Final
from zlib import crc32

TURNSTILE_BYTE: Final = 1 << 60
"""Above every byte of a session."""

BELL_SEATS: Final = 3
TURNSTILE_SEATS: Final = 2
"""How many threads of one host may block for bytes at once. A blocked lock keeps one of the
threads of the mount's FUSE process, and libfuse has ten of them: the thirteenth blocked lock made
a MooseFS mount hang for good, for everybody on the host (seen). So who wants to block takes a
seat first, a byte of its host; who finds none polls."""

_LIFE_BYTE: Final = 1 << 58
"""Added to a session's byte: the one that is let go to ring can't say that a process lives."""

_SEATS_BYTE: Final = 1 << 59
_SEATS_OF_A_HOST: Final = 16

_NAME_DIGITS: Final = 12
_HEX: Final = re.compile(r"[0-9a-f]+\Z")
_RETRIED: Final = frozenset({errno.EINTR, 512})
"""512: ERESTARTSYS of the kernel, which some FUSE mounts let through (seen)."""
_RETRIES: Final = 20
_TAKEN: Final = frozenset({errno.EAGAIN, errno.EACCES})


def byte_of(session: str) -> int:
    """The byte that belongs to that session: 48 bits of its random name. Of a name that is not
    one of ours, which only a forged record has: some byte."""
    digits = session[:_NAME_DIGITS]
    if _HEX.match(digits):
        return int(digits, 16)
    return crc32(session.encode("utf-8", "surrogatepass"))


def life_byte_of(session: str) -> int:
    """The byte that its process keeps for as long as it lives, if it is the keeper of all who use
    its leases."""
    return _LIFE_BYTE + byte_of(session)


def _seats_byte(boot_id: str) -> int | None:
    """Where the seats of this host begin; None if the host can't be told from others."""
    digits = boot_id.replace("-", "")[:_NAME_DIGITS]
    try:
        return _SEATS_BYTE + int(digits, 16) * _SEATS_OF_A_HOST
    except ValueError:
        return None


class LockFile:
    """The bytes of one volume's lock file, as this process locks them.

    Promise: at most one descriptor for the life of the process. Limit: other code of the process
    that opens and closes the file (a copy of the whole volume) drops its locks unseen. Errors of
    all calls: ``OSError``; ``EDEADLK`` is one of them. Any call can hang with the mount.
    """

    def __init__(self, path: str, boot_id: str) -> None:
        self._path = path
        self._seats = _seats_byte(boot_id)
        self._seated: set[int] = set()
        self._seating = threading.Lock()
        self._descriptor = -1
        self._opening = threading.Lock()
        self.calls = 0
        """Lock calls made so far: each is one operation of the server."""
        self.own: set[int] = set()
        """Bytes held by sessions of this process: waiting for one would succeed at once, and
        letting it go would take it from its session."""

    @property
    def ready(self) -> bool:
        return self._descriptor >= 0

    def open(self) -> None:
        with self._opening:
            if self._descriptor < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._descriptor = os.open(self._path, flags, 0o666)

    def take(self, byte: int) -> bool:
        """Lock it exclusively if nobody has it."""
        import fcntl

        return self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB, byte)

    def await_turn(self, byte: int) -> None:
        """Block until it is locked exclusively."""
        import fcntl

        self._lock(fcntl.LOCK_EX, byte)

    def is_free(self, byte: int) -> bool:
        """Whether no other process has it exclusively."""
        import fcntl

        if not self._lock(fcntl.LOCK_SH | fcntl.LOCK_NB, byte):
            return False
        self.drop(byte)
        return True

    def await_ring(self, byte: int) -> None:
        """Block until its owner lets go for a moment. Shared, so that one ring wakes all who
        wait; then the caller must ``drop`` it, so that its owner can take it again."""
        import fcntl

        self._lock(fcntl.LOCK_SH, byte)

    def sit_down(self, first: int, many: int) -> int | None:
        """A seat among those ``many`` from ``first`` on, or None; give it back to ``get_up``."""
        if self._seats is None:
            return None
        for seat in range(first, first + many):
            with self._seating:  # between threads of one process its locks say nothing
                if seat in self._seated:
                    continue
                self._seated.add(seat)
            try:
                had = self.take(self._seats + seat)
            except OSError:
                self._seated.discard(seat)
                raise
            if had:
                return seat
            self._seated.discard(seat)
        return None

    def get_up(self, seat: int) -> None:
        assert self._seats is not None
        try:
            self.drop(self._seats + seat)
        finally:
            self._seated.discard(seat)

    def drop(self, byte: int) -> None:
        import fcntl

        self._lock(fcntl.LOCK_UN, byte)

    def _lock(self, how: int, byte: int) -> bool:
        import fcntl

        for tries_left in reversed(range(_RETRIES)):
            self.calls += 1
            try:
                fcntl.lockf(self._descriptor, how, 1, byte)
            except OSError as error:
                if error.errno in _TAKEN and how & fcntl.LOCK_NB:
                    return False
                if error.errno not in _RETRIED or not tries_left:
                    raise
            else:
                return True
        raise AssertionError("the last try returns or raises")


class _Process:
    """The lock files of this process."""

    def __init__(self) -> None:
        self.files: dict[str, LockFile] = {}
        self.lock = threading.Lock()
        self.hooked = False

    def file(self, volume: str, path: str, boot_id: str) -> LockFile:
        with self.lock:
            if not self.hooked:
                self.hooked = True
                os.register_at_fork(after_in_child=self.after_fork)
            return self.files.setdefault(volume, LockFile(path, boot_id))

    def after_fork(self) -> None:
        """The child has none of the locks. Its copies of the descriptors stay open: to close one
        asks the volume, which may hang, and costs the parent nothing if left."""
        self.files, self.lock = {}, threading.Lock()


_process = _Process()


def lock_file(volume: str, path: str, boot_id: str) -> LockFile:
    """The one lock file of that volume (its identity) in this process; not opened yet."""
    return _process.file(volume, path, boot_id)
