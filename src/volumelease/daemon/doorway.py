"""The daemon's socket in the file system: one daemon for each, and nothing stale left behind."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from typing import Final

from filelock import FileLock, Timeout

from volumelease.client.finding import own_socket
from volumelease.errors import LeaseError

MODE: Final = 0o600
"""Whoever may connect may move files of the volume with the daemon's rights."""

ENDING_SECONDS: Final = 5.0
"""A daemon whose socket is gone already is ending: its sessions are being closed."""

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
        if path == own_socket():
            _must_be_ours(folder)
        self._lock = FileLock(path + ".lock", mode=0o600, thread_local=False)
        try:
            self._lock.acquire(timeout=0 if os.path.lexists(path) else ENDING_SECONDS)
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
        """Remove the socket, unless somebody put another one in its place. The place stays ours:
        a successor that began now would find sessions that are still used."""
        with suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == self._ours:
                os.unlink(self.path)

    def leave(self) -> None:
        """Once nothing is held any more: the next daemon may have the place."""
        self._lock.release()


def _must_be_ours(folder: str) -> None:
    """Nobody chose this place, and in /tmp anybody can make it first: who owns it could lay another
    page of deadlines there, which clients would believe. Errors: ``LeaseError``."""
    for place in (os.path.dirname(folder), folder):
        found = os.lstat(place)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022 or not stat.S_ISDIR(found.st_mode):
            raise LeaseError(
                f"{place} is not a directory that only user {os.geteuid()} may write: it is of "
                f"user {found.st_uid}, mode {stat.S_IMODE(found.st_mode):04o}",
                advice="Remove it, or set VOLUMELEASE_SOCKET to a path in a directory of your own",
            )


def fresh_file(path: str, flags: int) -> int:
    """Opens a new file of ours: never what somebody laid there, nor what a link there leads to."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)
