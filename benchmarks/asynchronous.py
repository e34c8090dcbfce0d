"""What does an event loop add to a lease, and what does a lease do to the loop? Acquire + release
with ``async with`` against ``with``, and against the least a loop can do: a call in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .measure import Goal, Samples, alternate, report

ASYNC = "volumelease, async with"
SYNC = "volumelease, with"
BARE = "two bare symlinks, each in asyncio.to_thread"
STALL = "longest stall of the loop in a round of 25"


def contenders(
    folder: Path, loop: asyncio.AbstractEventLoop, stalls: Samples
) -> dict[str, Callable[[], Any]]:
    from volumelease.leases.asking import volume_lease
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate

    volume, bare = folder / "volume", folder / "bare"
    for directory in (volume / "model", bare):
        directory.mkdir(parents=True)
    volumes = Volumes(Surroundings.of_this_process())
    volumes.found(locate(str(volume), explicit=str(volume)), ready=True, ttl=15.0)
    numbers = iter(range(10**9))
    lease = volume_lease(volume / "model", volumes=volumes)

    async def with_a_loop() -> None:
        async with lease:
            pass

    async def in_threads() -> None:
        number = next(numbers)
        for letter in "ab":
            await asyncio.to_thread(os.symlink, "x" * 150, bare / f"{number}{letter}")

    def with_a_thread() -> None:
        with lease:
            pass

    async def stalled() -> None:
        watching = asyncio.create_task(_watch(stalls))
        for _ in range(25):
            await with_a_loop()
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    return {
        ASYNC: lambda: loop.run_until_complete(with_a_loop()),
        SYNC: with_a_thread,
        BARE: lambda: loop.run_until_complete(in_threads()),
        STALL: lambda: loop.run_until_complete(stalled()),
    }


async def _watch(stalls: Samples) -> None:
    longest = 0.0
    before = time.perf_counter()
    try:
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
    finally:
        stalls.seconds.append(longest)


def run(folder: Path, where: str, target: Path | None, rounds: int) -> bool:
    stalls = Samples(STALL)
    with asyncio.Runner() as runner:
        made = contenders(folder, runner.get_loop(), stalls)
        round_of_leases = made.pop(STALL)
        results = alternate(made, rounds=rounds, calls=25)
        for _ in range(rounds):
            round_of_leases()
    results[STALL] = stalls
    goals = [Goal(ASYNC, SYNC, 2.0)] if where != "local directory" else []
    return report("acquire + release on an event loop", where, results, goals, target)
