"""A synthetic safetensors file, and the tasks that load it as programs load models.

Format: eight bytes with the length of a JSON header, the header, the tensors one after another.
The header is padded so that tensors begin at a page.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from .buffers import buffer
from .contents import PAGE
from .histograms import bucket
from .job import Job
from .residency import forget, resident_share

HEADER_BYTES: Final = 16 * PAGE
DIRECT_BLOCK: Final = 4 << 20
LEAST_PIECE: Final = 1 << 20
"""Small enough for a few in each sample at 12 MB/s, which mmap gets at 5 ms a request."""
PIECE_SECONDS: Final = 0.1
"""A fast mount gives a tensor at once in that time. It must be: processors copy large blocks in
another way than small ones, and a disk of 1 GB/s is then half as busy (measured)."""
_SHORTER: Final = "shorter than it was made: something else changed it, run this again"
_SIDES: Final = (4096, 11008, 4096, 1024, 4096, 128)
"""Rows of 4,096 numbers: the mixture of sizes of a transformer's layer."""


def tensors_of(size_bytes: int) -> dict[str, dict[str, Any]]:
    """The header of a file of that size: 16-bit tensors that fill it."""
    found: dict[str, dict[str, Any]] = {}
    at, left = 0, size_bytes - HEADER_BYTES
    while left:
        rows = _SIDES[len(found) % len(_SIDES)]
        length = min(rows * 4096 * 2, left)
        shape = [rows, 4096] if length == rows * 4096 * 2 else [length // 2]
        found[f"layers.{len(found)}.weight"] = {
            "dtype": "F16",
            "shape": shape,
            "data_offsets": [at, at + length],
        }
        at, left = at + length, left - length
    return found


def write_header(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Make a file of ``file_bytes`` a safetensors file. Errors: ``OSError``."""
    text = json.dumps(tensors_of(parameters["file_bytes"])).encode()
    room = HEADER_BYTES - 8
    if len(text) > room:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
    descriptor = os.open(parameters["path"], os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, room.to_bytes(8, "little") + text.ljust(room), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    job.begin()
    return {}


def load(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Load it again and again until told to stop, each time cold as far as this host's page cache
    goes. ``way``: ``mmap`` (tensor by tensor, copied out of the mapping, as safetensors does),
    ``read`` or ``threads`` (``threads`` of them, 4 MiB past the page cache at a time). An
    operation is what a tenth of a second gives of a tensor, at least 1 MiB, and 4 MiB of a thread:
    after each it looks whether to stop.

    Answers ``direct``: whether it went past the page cache. Errors: ``OSError``.
    """
    return _Load(job, parameters).run()


def piece_after(piece: int, count: int, nanoseconds: int) -> int:
    """How much to load at once after ``count`` bytes of a ``piece`` took so long."""
    soon = int(count * PIECE_SECONDS * 1e9 / max(nanoseconds, 1))
    return max(LEAST_PIECE, min(soon - soon % LEAST_PIECE, 4 * piece))


class _Load:
    def __init__(self, job: Job, parameters: dict[str, Any]) -> None:
        self.job = job
        self.path: str = parameters["path"]
        self.size: int = parameters["file_bytes"]
        self.threads: int = parameters["threads"]
        self.way: str = parameters["way"]
        self.lock = threading.Lock()
        self.done = self.operations = self.slowest_ns = self.untimed_ns = 0
        self.began = 0
        self.latencies: dict[int, int] = {}
        self.resident_share = 0.0
        self.direct = False
        self.failure: OSError | None = None
        self.piece = LEAST_PIECE
        self.spans = [
            (HEADER_BYTES + tensor["data_offsets"][0], HEADER_BYTES + tensor["data_offsets"][1])
            for tensor in tensors_of(self.size).values()
        ]

    def run(self) -> dict[str, Any]:
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        loads = 0
        try:
            self._forget(descriptor)
            self.began = self.job.begin()
            self.untimed_ns = 0
            while not self.job.slot.told_to_stop() and self.failure is None:
                if loads:
                    self._forget(descriptor)
                self._load(descriptor)
                loads += 1
        finally:
            os.close(descriptor)
        if self.failure is not None:
            raise self.failure
        return {
            "bytes": self.done,
            "operations": self.operations,
            "latencies": {str(number): count for number, count in self.latencies.items()},
            "slowest_ns": self.slowest_ns,
            "resident_share": self.resident_share,
            "direct": self.direct,
            "loads": loads,
            "done_seconds": (time.monotonic_ns() - self.began) / 1e9,
        }

    def _forget(self, descriptor: int) -> None:
        began = time.monotonic_ns()
        forget(descriptor)
        self.resident_share = max(self.resident_share, resident_share(descriptor))
        self.untimed_ns += time.monotonic_ns() - began

    def _load(self, descriptor: int) -> None:
        if self.way == "threads":
            self._by_threads()
        elif self.way == "mmap":
            self._by_mapping(descriptor)
        else:
            self._by_reading()

    def _stopped(self) -> bool:
        return self.job.slot.told_to_stop()

    def _by_mapping(self, descriptor: int) -> None:
        with (
            mmap.mmap(descriptor, self.size, prot=mmap.PROT_READ) as mapped,
            memoryview(mapped) as view,
        ):

            def copy(into: memoryview, at: int) -> int:
                into[:] = view[at : at + len(into)]
                return len(into)

            self._by_pieces(copy)

    def _by_reading(self) -> None:
        with open(self.path, "rb") as file:
            file.seek(HEADER_BYTES)
            self._by_pieces(lambda into, at: file.readinto(into))

    def _by_pieces(self, fill: Callable[[memoryview, int], int]) -> None:
        """Tensor by tensor: each is up to 90 MB, which a slow mount takes a minute for."""
        model = []
        for first, last in self.spans:
            # As malloc gives it to who loads a tensor at once: fresh pages, of the usual size.
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            tensor = memoryview(mmap.mmap(-1, last - first, flags=flags))
            model.append(tensor)
            at = first
            while at < last:
                if self._stopped():
                    return
                before = time.monotonic_ns()
                count = fill(tensor[at - first : at - first + self.piece], at)
                took_ns = time.monotonic_ns() - before
                if not count:
                    raise OSError(errno.ENODATA, _SHORTER, self.path)
                at += count
                self._took(count, took_ns)
                self.piece = piece_after(self.piece, count, took_ns)

    def _by_threads(self) -> None:
        model = buffer(self.size)
        places = iter(range(0, self.size, DIRECT_BLOCK))
        readers = [
            threading.Thread(target=self._read_places, args=(model, places))
            for _ in range(self.threads)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()

    def _read_places(self, view: memoryview, places: Any) -> None:
        try:
            descriptor = self._open_directly()
        except OSError as error:
            self.failure = error
            return
        try:
            while not self._stopped():
                with self.lock:
                    at = next(places, None)
                if at is None:
                    return
                before = time.monotonic_ns()
                count = os.preadv(descriptor, [view[at : at + DIRECT_BLOCK]], at)
                self._took(count, time.monotonic_ns() - before)
        except OSError as error:
            self.failure = error
        finally:
            os.close(descriptor)

    def _open_directly(self) -> int:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(self.path, flags | os.O_DIRECT)
            self.direct = True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            descriptor = os.open(self.path, flags)
        return descriptor

    def _took(self, count: int, nanoseconds: int) -> None:
        with self.lock:
            number = bucket(nanoseconds)
            self.latencies[number] = self.latencies.get(number, 0) + 1
            self.slowest_ns = max(self.slowest_ns, nanoseconds)
            self.operations += 1
            self.done += count
            active = time.monotonic_ns() - self.began - self.untimed_ns
            self.job.slot.count(self.done, active)
            self.job.slot.count_more(self.operations, 0, time.process_time_ns())
