"""Cancelled at every await, an asynchronous lease leaves nothing behind.

On a volume in memory; the same code paths run on real volumes in ``test_tasks_on_a_volume``.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest

from volumelease import LeaseTimeout, volume_lease
from volumelease.drivers import crew
from volumelease.testing import MemoryVolume


@pytest.fixture
def volume() -> Iterator[MemoryVolume]:
    with MemoryVolume("/v") as volume:
        yield volume


class CancelledAt:
    """Awaits ``body`` and cancels the running task at each of the given suspensions (0 is the
    first): before what it waits for has come (``early``), or when it has just come."""

    def __init__(self, body: Coroutine[Any, Any, None], at: set[int], *, early: bool) -> None:
        self._body = body
        self._at = at
        self._early = early
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, None]:
        task = asyncio.current_task()
        assert task is not None
        resume: Callable[[], Any] = lambda: self._body.send(None)  # noqa: E731
        while True:
            try:
                waits_for = resume()
            except StopIteration:
                return
            if self.suspensions in self._at:
                if self._early or waits_for is None:
                    asyncio.get_running_loop().call_soon(task.cancel)
                else:
                    waits_for.add_done_callback(lambda _: task.cancel())
            self.suspensions += 1
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - thrown into the body
                resume = lambda error=error: self._body.throw(error)  # type: ignore[misc] # noqa: E731
            else:
                resume = lambda: self._body.send(None)  # noqa: E731


async def quiet(volume: MemoryVolume) -> None:
    """Wait until nothing is held or asked for; fail if that never comes."""
    async with asyncio.timeout(10):
        while volume.leases or volume.waiting:
            await asyncio.sleep(0.001)


async def uncontended(volume: MemoryVolume) -> None:
    async with volume_lease("/v/a"):
        await asyncio.sleep(0)


async def contended(volume: MemoryVolume) -> None:
    with volume.held_elsewhere("/v"):
        waiting = asyncio.create_task(uncontended(volume))
        try:
            while not volume.waiting:
                await asyncio.sleep(0)
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])
    await uncontended(volume)


async def waits_and_gets(volume: MemoryVolume) -> None:
    holder = volume.held_elsewhere("/v")
    holder.__enter__()
    asyncio.get_running_loop().call_later(0.005, holder.__exit__, None, None, None)
    async with volume_lease("/v/a"):
        await asyncio.sleep(0)


async def downgrades_and_releases(volume: MemoryVolume) -> None:
    async with volume_lease("/v/a") as lease:
        await lease.downgrade()
        async with lease.lend(), volume_lease("/v/a", shared=True):
            await asyncio.sleep(0)
        await lease.release()


SCENARIOS = (uncontended, contended, waits_and_gets, downgrades_and_releases)


def cancelled(volume: MemoryVolume, scenario: Any, at: set[int], *, early: bool) -> int:
    """How often it was suspended; everything it had was given back."""

    async def main() -> int:
        one = CancelledAt(scenario(volume), at, early=early)

        async def work() -> None:
            await one

        task = asyncio.create_task(work())
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None
        assert task.cancelled() or not at & set(range(one.suspensions - 1))
        await quiet(volume)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others or not (await asyncio.wait(others, timeout=10))[1]
        async with volume_lease("/v", timeout=0):
            pass
        return one.suspensions

    return asyncio.run(main())


@pytest.mark.parametrize("early", [True, False], ids=["early", "just-come"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_a_cancellation_at_every_await_leaves_nothing(
    volume: MemoryVolume, scenario: Any, early: bool
) -> None:
    at, most = 0, 100
    while at < most:
        if cancelled(volume, scenario, {at}, early=early) <= at:
            break
        at += 1
    assert 2 <= at < most, "every suspension has had its turn"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_two_cancellations_at_any_two_awaits_leave_nothing(
    volume: MemoryVolume, scenario: Any
) -> None:
    count = cancelled(volume, scenario, set(), early=True)
    for first in range(min(count, 8)):
        for second in range(first + 1, first + 4):
            cancelled(volume, scenario, {first, second}, early=True)


def test_asyncio_timeout_around_a_wait_gives_back(volume: MemoryVolume) -> None:
    async def main() -> None:
        with volume.held_elsewhere("/v/a"):
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.02):
                    await uncontended(volume)
            assert not isinstance(caught.value, LeaseTimeout)
            assert volume.waiting == ()  # given back before the error came
        await uncontended(volume)

    asyncio.run(main())


def test_the_end_of_the_main_task_gives_back(volume: MemoryVolume) -> None:
    async def main() -> None:
        with volume.held_elsewhere("/v/a"):
            asyncio.create_task(uncontended(volume))  # noqa: RUF006 - nobody waits for it
            while not volume.waiting:
                await asyncio.sleep(0)

    asyncio.run(main())
    assert (volume.leases, volume.waiting) == ((), ())


def test_a_loop_that_is_closed_under_its_tasks_gives_back(volume: MemoryVolume) -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # "destroyed but pending", true enough

    async def inside() -> None:
        async with volume_lease("/v/b"):
            await asyncio.Event().wait()

    with volume.held_elsewhere("/v/a"):
        tasks = [loop.create_task(uncontended(volume)), loop.create_task(inside())]
        while not (volume._memory.room._wakers and len(volume.leases) == 2):
            loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert volume.waiting
    until = time.monotonic() + 5
    while volume.waiting or any(seen.paths == ("/v/a",) for seen in volume.leases):
        assert time.monotonic() < until, "granted to a loop that is gone, and kept"
        time.sleep(0.001)
    del tasks
    gc.collect()
    while volume.leases:
        assert time.monotonic() < until, "a coroutine that was thrown away keeps its lease"
        time.sleep(0.001)


def test_a_coroutine_that_is_closed_gives_back(volume: MemoryVolume) -> None:
    async def main() -> None:
        with volume.held_elsewhere("/v/c"):
            for path in ("/v/a", "/v/c"):
                work = body(path)
                work.send(None)
                await asyncio.sleep(0.01)
                work.close()
            await asyncio.sleep(0)
        await quiet(volume)

    async def body(path: str) -> None:
        async with volume_lease(path):
            await asyncio.Event().wait()

    asyncio.run(main())


# ---- the threads that may hang


def test_a_crew_has_no_more_threads_than_it_may() -> None:
    one = crew.Crew(size=3, idle_seconds=0.01)
    free = threading.Event()
    before = threading.active_count()
    jobs = [crew.Job(free.wait) for _ in range(50)]
    for job in jobs:
        one.do(job)
    urgent = crew.Job(lambda: [job.done for job in jobs].count(True))
    one.do(urgent, urgent=True)
    assert threading.active_count() == before + 3
    free.set()
    until = time.monotonic() + 5
    while not all(job.done for job in jobs) or threading.active_count() > before:
        assert time.monotonic() < until
        time.sleep(0.001)
    assert urgent.value <= 3, "what lets go comes first"


def test_a_process_that_can_start_no_thread_still_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    one = crew.Crew()
    urgent = crew.Job(lambda: "done")
    one.do(urgent, urgent=True)
    assert urgent.value == "done"
    with pytest.raises(RuntimeError, match="no thread"):
        one.do(crew.Job(lambda: None))
