"""Writing back behind a buffered writer: started at once, waited for 32 MiB later."""

from __future__ import annotations

import ctypes
import os
from collections import deque
from typing import Final

_WAIT_BEFORE: Final = 1
_WRITE: Final = 2
_WAIT_AFTER: Final = 4
_CHUNK: Final = 4 << 20
_BEHIND: Final = 8

_libc: Final = ctypes.CDLL(None, use_errno=True)
_OFFSET: Final = ctypes.c_int64


class Writeback:
    """Keeps the dirty pages of one file few. Source: sync_file_range(2); where a file system
    knows none of it, fdatasync of the same chunks.

    Limit: what is written back has reached the server or the device, and is durable only after
    the fsync at the end.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self._begun: deque[tuple[int, int, int]] = deque()
        self._at = 0
        self._length = 0
        self._bytes = 0
        self._knows = True
        self._behind = max(1, min(_BEHIND, size // _CHUNK // 2))

    def wrote(self, offset: int, count: int) -> int:
        """Bytes that are written back by now and were not before. Errors: ``OSError``."""
        if offset != self._at + self._length:
            done = self._close_chunk()
            self._at = offset
        else:
            done = 0
        self._length += count
        self._bytes += count
        if self._length >= _CHUNK:
            done += self._close_chunk()
            self._at = offset + count
        return done

    def _close_chunk(self) -> int:
        if not self._length:
            return 0
        self._sync(self._at, self._length, _WRITE)
        self._begun.append((self._at, self._length, self._bytes))
        self._length = self._bytes = 0
        if len(self._begun) <= self._behind:
            return 0
        at, length, count = self._begun.popleft()
        self._sync(at, length, _WAIT_BEFORE | _WRITE | _WAIT_AFTER)
        return count

    def _sync(self, at: int, length: int, flags: int) -> None:
        if self._knows:
            if _libc.sync_file_range(self._descriptor, _OFFSET(at), _OFFSET(length), flags) == 0:
                return
            number = ctypes.get_errno()
            if number not in (22, 29, 38):  # EINVAL, ESPIPE, ENOSYS: not known here
                raise OSError(number, os.strerror(number))
            self._knows = False
        if flags & _WAIT_AFTER:
            os.fdatasync(self._descriptor)


class SyncNow:
    """The same for writes at random: fdatasync after each MiB, as a database does."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._bytes = 0

    def wrote(self, offset: int, count: int) -> int:
        """Bytes that are written back by now and were not before. Errors: ``OSError``."""
        self._bytes += count
        if self._bytes < _SYNC_EVERY:
            return 0
        os.fdatasync(self._descriptor)
        done, self._bytes = self._bytes, 0
        return done


_SYNC_EVERY: Final = 1 << 20
