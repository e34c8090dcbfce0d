"""The page cache: what of a file is in it, and making it forget."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import Final

_libc: Final = ctypes.CDLL(None, use_errno=True)
_PROT_READ: Final = 1
_MAP_SHARED: Final = 1
_FAILED: Final = ctypes.c_void_p(-1).value

_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


def forget(descriptor: int) -> None:
    """Make this kernel forget what it knows of a file's contents: needs no privilege.

    Limit: dirty pages stay, so fsync first; what servers and devices cache is out of reach.
    """
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def resident_share(descriptor: int) -> float:
    """The share of a file that is in the page cache, 0 to 1.

    Source: mincore(2), which tells the truth only to who may write the file. 0 where a file can't
    be mapped.
    """
    size = os.fstat(descriptor).st_size
    if size == 0:
        return 0.0
    address = _libc.mmap(None, size, _PROT_READ, _MAP_SHARED, descriptor, 0)
    if address == _FAILED:
        return 0.0
    try:
        pages = -(-size // mmap.PAGESIZE)
        vector = ctypes.create_string_buffer(pages)
        if _libc.mincore(address, size, vector) != 0:
            return 0.0
        return vector.raw[:pages].translate(_LOWEST_BIT).count(b"\1") / pages
    finally:
        _libc.munmap(address, size)


_LOWEST_BIT: Final = bytes(value & 1 for value in range(256))
