"""Memory for transfers: aligned to huge pages, and made of them where the kernel has some."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from typing import Final

HUGE: Final = 2 << 20


def buffer(size: int) -> memoryview:
    """Zeroed memory of that size, aligned to 2 MiB.

    Huge pages because a device takes so many pieces of memory in one request and no more (254 at
    virtio): a MiB of scattered pages would be two requests where that of other programs is one.
    """
    memory = mmap.mmap(-1, size + HUGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    first = -address % HUGE
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel that was built without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(memory)[first : first + size]
