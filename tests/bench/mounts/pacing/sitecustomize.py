"""Paces the reads and writes of this interpreter on one file system; see ``PacedMemory``.

Python imports it before anything else where its directory is on PYTHONPATH. The bucket is shared
by all processes that name the same file in VLPACE: a double of CLOCK_MONOTONIC at its beginning.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

CLOCK = struct.Struct("d")


class _Pace:
    def __init__(self, clock: str, device: int, rate: float, credit: float) -> None:
        self._file = open(clock, "r+b")  # noqa: SIM115 # for as long as the process lives
        self._turn = threading.Lock()
        self._page = mmap.mmap(self._file.fileno(), mmap.PAGESIZE)
        self._device = device
        self._rate = rate
        self._lead = credit / rate

    def wait(self, descriptor: int, count: int) -> None:
        if count <= 0 or os.fstat(descriptor).st_dev != self._device:
            return
        with self._turn:  # the lock on the file is the whole process's
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            now = time.monotonic()
            empty_at = max(CLOCK.unpack_from(self._page)[0], now - self._lead) + count / self._rate
            CLOCK.pack_into(self._page, 0, empty_at)
            fcntl.lockf(self._file, fcntl.LOCK_UN)
        if empty_at - now > 0.0001:
            time.sleep(empty_at - now)


def _install(pace: _Pace) -> None:
    def after(call: Callable[..., Any]) -> Callable[..., Any]:
        def paced(descriptor: int, *rest: Any) -> Any:
            done = call(descriptor, *rest)
            pace.wait(descriptor, done if isinstance(done, int) else len(done))
            return done

        return paced

    for name in ("read", "readv", "pread", "preadv", "write", "writev", "pwrite", "pwritev"):
        setattr(os, name, after(getattr(os, name)))


if "VLPACE" in os.environ:
    _install(_Pace(**json.loads(os.environ["VLPACE"])))
