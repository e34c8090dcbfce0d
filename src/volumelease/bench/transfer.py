"""The task that writes or reads one file: ``pwritev`` and ``preadv`` on page-aligned buffers.

What is counted is on the volume: a buffered write counts once the kernel has written it back, 32
MiB behind the writer, so that writing and writing back overlap as they do without a benchmark.
"""

from __future__ import annotations

import errno
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from .buffers import buffer
from .contents import PAGE, PERIOD, Contents
from .histograms import bucket
from .job import Job
from .residency import forget, resident_share
from .writeback import SyncNow, Writeback

_CPU_EVERY_NS: Final = 20_000_000
_TELL_EVERY_NS: Final = 1_000_000
_MOST_ERRORS: Final = 100
_MOST_EXACT: Final = 20_000
_FATAL: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EINVAL, errno.EBADF, errno.ESTALE, errno.ENODEV, errno.EROFS}
)


def run(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Transfer until told to stop, or until ``limit_bytes`` are through.

    Parameters: ``path`` (exists), ``mode`` ``write`` or ``read``, ``block_bytes``, ``direct``,
    ``random`` (order of blocks), ``file_bytes`` (where it begins anew; a multiple of the block),
    ``limit_bytes`` (0: none), ``seed`` and ``file`` of the contents, ``run`` (another number is
    another order of random blocks: else a repeat finds those of the one before in a cache),
    ``one_block`` (may be left out: write the same memory every time, but for its first word). An
    empty path is memory of the job's own. Answers ``resident_share``: what the page cache had of
    the file before it was read.

    Errors: ``OSError`` of what can't get better (no space, no direct I/O); others are counted.
    """
    return Transfer(job, parameters).run()


class Transfer:
    """One file, one direction, one thread."""

    def __init__(self, job: Job, parameters: dict[str, Any]) -> None:
        self.job = job
        self.slot = job.slot
        self.writing: bool = parameters["mode"] == "write"
        self.direct: bool = parameters["direct"]
        self.block: int = parameters["block_bytes"]
        self.size: int = parameters["file_bytes"]
        self.limit: int = parameters["limit_bytes"] or 1 << 62
        self.path: str = parameters["path"]
        self.at_random: bool = parameters["random"]
        self.contents = Contents(parameters["seed"], parameters["file"])
        order = f"{parameters['seed']}:{parameters['run']}:{job.number}:order"
        self.chance = random.Random(order)
        self.latencies: dict[int, int] = {}
        self.exact = Counter[int]()
        self.slowest_ns = 0
        self.errors: dict[str, int] = {}
        self.wrong = 0
        self.operations = 0
        self.one_block: bool = parameters.get("one_block", False)
        self.done = self.counted = self.counted_ns = 0
        self.extent = 0
        self.untimed_ns = self.told_ns = 0
        self.resident_share = 0.0
        # At random, a block comes again before all were read: forget after each fiftieth part.
        self.forget_after = self.size // (50 if self.at_random else 1)
        self.forget_at = self.forget_after

    def run(self) -> dict[str, Any]:
        descriptor = self._open()
        try:
            began = self.job.begin()
            if self.writing:
                self._write(descriptor, began)
            else:
                self._read(descriptor, began)
            transferred = time.monotonic_ns()
            if self.writing:
                os.fsync(descriptor)
            synced = time.monotonic_ns()
        finally:
            closing = time.monotonic_ns()
            os.close(descriptor)
        closed = time.monotonic_ns()
        self._sort()
        return {
            "bytes": self.done,
            "operations": self.operations,
            "errors": self.errors,
            "wrong_blocks": self.wrong,
            "extent": self.extent,
            "fsync_seconds": (synced - transferred) / 1e9,
            "close_seconds": (closed - closing) / 1e9,
            "done_seconds": (closed - began) / 1e9,
            "latencies": {str(number): count for number, count in self.latencies.items()},
            "slowest_ns": self.slowest_ns,
            "resident_share": self.resident_share,
        }

    def _open(self) -> int:
        if not self.path:
            return self._memory()
        flags = os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_WRONLY if self.writing else os.O_RDONLY)
        descriptor = os.open(self.path, flags | (os.O_DIRECT if self.direct else 0))
        if not self.writing:
            forget(descriptor)
            self.resident_share = resident_share(descriptor)
        return descriptor

    def _memory(self) -> int:
        descriptor = os.memfd_create("volumelease-bench-calibration")
        for at in range(0, self.size, PERIOD):
            self.contents.turn_to(at // PERIOD, 0)
            os.pwrite(descriptor, self.contents.view, at)
        return descriptor

    # ---- where

    def _offsets(self) -> Iterator[int]:
        if self.at_random:
            blocks = self.size // self.block
            chance, block = self.chance.random, self.block
            while True:
                yield int(chance() * blocks) * block
        while True:
            yield from range(0, self.size, self.block)

    # ---- writing

    def _write(self, descriptor: int, began: int) -> None:
        """As flat as the loop that reads, for the same reason."""
        contents, block, clock = self.contents, self.block, time.monotonic_ns
        writeback = self._writeback(descriptor)
        views = [[contents.view[at : at + block]] for at in range(0, PERIOD, block)]
        if self.one_block:
            views = views[:1] * len(views)
        took = list[int]()
        # What is written again differs from what is there: no storage can leave it out.
        period, turn, before, told = -1, int.from_bytes(os.urandom(2)), began, began
        for offset in self._offsets():
            if self.one_block:
                turn += 1
                contents.turn_block_to(0, turn, PAGE)
            elif self.at_random:
                turn += 1
                contents.turn_block_to(offset, turn, block)
            elif offset // PERIOD != period:
                turn += offset == 0
                period = offset // PERIOD
                contents.turn_to(period, turn)
            vector = views[offset % PERIOD // block]
            counted = self._write_block(descriptor, vector, offset, writeback)
            now = clock()
            took.append(now - before)
            before = now
            if counted:
                self.counted += counted
                self.counted_ns = now - began
            if now - told > _TELL_EVERY_NS or self.done >= self.limit:
                told = now
                self._tell(took, self.counted, self.counted_ns, now - began)
                if self.slot.told_to_stop() or self.done >= self.limit:
                    break
        self._tell_more()

    def _write_block(
        self,
        descriptor: int,
        vector: list[memoryview],
        offset: int,
        writeback: Writeback | SyncNow | None,
    ) -> int:
        """How many bytes count now."""
        try:
            written = os.pwritev(descriptor, vector, offset)
            if written < self.block:
                written += self._rest(descriptor, vector[0], offset, written)
            counted = written if writeback is None else writeback.wrote(offset, written)
        except OSError as error:
            self._failed(error)
            return 0
        self.done += written
        self.extent = max(self.extent, offset + written)
        return counted

    def _writeback(self, descriptor: int) -> Writeback | SyncNow | None:
        if self.direct or not self.path:
            return None
        return SyncNow(descriptor) if self.at_random else Writeback(descriptor, self.size)

    def _rest(self, descriptor: int, view: memoryview, offset: int, written: int) -> int:
        """What a short write left."""
        more = 0
        while written + more < len(view):
            at = written + more
            count = os.pwrite(descriptor, view[at:], offset + at)
            if not count:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            more += count
        return more

    # ---- reading

    def _read(self, descriptor: int, began: int) -> None:
        """The loop is flat, and tells once a millisecond: at 4 KiB, what it does beside reading is
        what it would measure."""
        block, preadv, clock = self.block, os.preadv, time.monotonic_ns
        view = buffer(max(block, PAGE))[:block]
        words, buffers, took = view[:8].cast("Q"), [view], list[int]()
        known, tag = self.contents.known, self.contents.tag
        before = told = began
        done = 0
        for offset in self._offsets():
            try:
                count = preadv(descriptor, buffers, offset)
                if count < block or words[0] & known != tag | offset // PERIOD:
                    self.wrong += 1
            except OSError as error:
                self._failed(error)
                count = 0
            now = clock()
            took.append(now - before)
            before = now
            done += count
            if now - told > _TELL_EVERY_NS:
                told = now
                self.done = done
                self._tell(took, done, now - began, now - began)
                if self.slot.told_to_stop() or done >= self.limit:
                    break
                before = self._forget_in_time(descriptor)
        self._tell_more()

    def _tell(self, took: list[int], counted: int, counted_ns: int, elapsed_ns: int) -> None:
        self.operations += len(took)
        self.slowest_ns = max(self.slowest_ns, *took)
        self.exact.update(took)  # faster by far than a bucket for each
        if len(self.exact) > _MOST_EXACT:
            self._sort()
        took.clear()
        if counted:
            self.slot.count(counted, counted_ns - self.untimed_ns)
        if elapsed_ns - self.told_ns > _CPU_EVERY_NS:
            self.told_ns = elapsed_ns
            self._tell_more()

    def _forget_in_time(self, descriptor: int) -> int:
        """The time at which reading goes on: telling is no part of the next operation."""
        if not self.direct and self.path and self.done >= self.forget_at:
            self._forget(descriptor)
        return time.monotonic_ns()

    def _forget(self, descriptor: int) -> None:
        """Before a second round: else it is read out of the page cache, at 7 GB/s from a mount of
        0.3 (measured)."""
        began = time.monotonic_ns()
        self.forget_at = self.done + self.forget_after
        forget(descriptor)
        self.untimed_ns += time.monotonic_ns() - began

    # ---- telling

    def _sort(self) -> None:
        """What was counted exactly goes into buckets."""
        for nanoseconds, count in self.exact.items():
            number = bucket(nanoseconds)
            self.latencies[number] = self.latencies.get(number, 0) + count
        self.exact.clear()

    def _tell_more(self) -> None:
        errors = sum(self.errors.values())
        self.slot.count_more(self.operations, errors, time.process_time_ns())

    def _failed(self, error: OSError) -> None:
        name = errno.errorcode.get(error.errno or 0, str(error.errno))
        self.errors[name] = self.errors.get(name, 0) + 1
        if error.errno in _FATAL or sum(self.errors.values()) >= _MOST_ERRORS:
            raise error


def verify(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Read whole blocks of a file at random places, past the page cache where that can be, and
    compare every byte. Answers ``blocks`` and ``wrong`` ones. Parameters as of ``run``;
    ``seconds`` is how long it may take."""
    contents = Contents(parameters["seed"], parameters["file"])
    size, chance = parameters["file_bytes"], random.Random(parameters["seed"])
    block = min(1 << 20, size)
    view = buffer(block)
    descriptor = os.open(parameters["path"], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    until = job.begin() + int(parameters["seconds"] * 1e9)
    blocks = wrong = 0
    try:
        forget(descriptor)
        places = list(range(0, size, block))
        chance.shuffle(places)
        for offset in places:
            if time.monotonic_ns() > until and blocks:
                break
            blocks += 1
            count = os.preadv(descriptor, [view], offset)
            wrong += count < block or not contents.same(view, offset)
    finally:
        os.close(descriptor)
    return {"blocks": blocks, "wrong": wrong}
