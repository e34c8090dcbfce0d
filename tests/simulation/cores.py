"""Run many cases on every core; what is found first does not depend on how many there are."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache
from itertools import islice
from typing import Final, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK: Final = 4
"""Items a core takes at once: few enough that an early find ends the search early."""

CORES: Final = len(os.sched_getaffinity(0))


@cache
def _pool() -> ProcessPoolExecutor:
    # Spawned, not forked: tests have threads and descriptors that no child may inherit.
    return ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn"))


def _sought(
    seek: Callable[[list[Item]], tuple[int, Result] | None], chunk: list[Item]
) -> tuple[int, Result] | None:
    """Garbage is collected after each chunk, and what is left is there to stay: looking for it all
    the time takes a tenth of the whole."""
    gc.disable()
    try:
        return seek(chunk)
    finally:
        gc.collect()
        gc.freeze()


def first_of(
    items: Iterable[Item], seek: Callable[[list[Item]], tuple[int, Result] | None]
) -> tuple[int, Result] | None:
    """The first item that ``seek`` finds something in: its place among all, and what it found.

    ``seek`` gets a few items at a time, in another process, and answers with a place among those.
    """
    rest = iter(items)
    running: deque[tuple[int, Future[tuple[int, Result] | None]]] = deque()
    asked = 0
    try:
        while True:
            while len(running) < 2 * CORES and (chunk := list(islice(rest, CHUNK))):
                running.append((asked, _pool().submit(_sought, seek, chunk)))
                asked += len(chunk)
            if not running:
                return None
            before, future = running.popleft()
            if (found := future.result()) is not None:
                place, what = found
                return before + place, what
    finally:
        for _, future in running:
            future.cancel()
