"""What a daemon's memory costs its container."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

_M_ARENA_MAX: Final = -8


def keep_together() -> None:
    """Have one heap for all threads of this process, before it starts any.

    glibc makes one for each of the first dozens (mallopt(3), M_ARENA_MAX), and what a burst of
    clients leaves in them stays: 3 MiB and more with 500 clients. Python's own lock lets only one
    thread allocate at a time anyway. Limit: with another C library nothing changes.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
