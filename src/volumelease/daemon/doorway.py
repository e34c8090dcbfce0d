"""The daemon's socket in the file system: one daemon for each, and nothing stale left behind."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from typing import Final

from filelock import FileLock, Timeout

from volumelease.errors import LeaseError

MODE: Final = 0o600
"""Whoever may connect may move files of the volume with the daemon's rights."""

_WAITING: Final = 512
_LONGEST_ADDRESS: Final = 107
"""Bytes, of ``struct sockaddr_un`` (unix(7))."""


class SocketTaken(LeaseError):
    """Another daemon serves that socket. Facts: ``socket``."""


class Doorway:
    """The place of one socket: ``path``, with ``path.lock`` beside it, held for the daemon's life.

    Promise: at most one daemon at a time has it, whatever its predecessors left behind.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        if len(os.fsencode(path)) > _LONGEST_ADDRESS:
            raise LeaseError(
                f"{path} is longer than the {_LONGEST_ADDRESS} bytes of a socket's address",
                advice="Set VOLUMELEASE_SOCKET to a shorter path",
            )
        folder = os.path.dirname(path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._lock = FileLock(path + ".lock", mode=0o600)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SocketTaken(
                f"another daemon serves {path}",
                advice="Use that one, or set VOLUMELEASE_SOCKET to another path",
                socket=path,
            ) from None
        self._ours: tuple[int, int] | None = None

    def open(self) -> socket.socket:
        """The listening socket, not blocking. Errors: ``OSError``; ``LeaseError`` if something
        else than a socket has its name."""
        self._clear()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o777 & ~MODE)  # between bind and chmod nobody else may connect
        try:
            listening.bind(self.path)
        finally:
            os.umask(before)
        listening.listen(_WAITING)
        listening.setblocking(False)
        found = os.stat(self.path)
        self._ours = (found.st_dev, found.st_ino)
        return listening

    def _clear(self) -> None:
        """Remove what a killed daemon left: we hold the lock, so nobody serves it."""
        try:
            found = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise LeaseError(
                f"{self.path} is no socket",
                advice="Remove it, or set VOLUMELEASE_SOCKET to another path",
                socket=self.path,
            )
        os.unlink(self.path)

    def close(self) -> None:
        """Remove the socket, unless somebody put another one in its place."""
        with suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self._ours:
                os.unlink(self.path)
        self._lock.release()


def fresh_file(path: str, flags: int) -> int:
    """Opens a new file of ours: never what somebody laid there, nor what a link there leads to."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)
