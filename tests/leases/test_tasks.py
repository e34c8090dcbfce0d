"""``volume_lease`` in tasks of an event loop: on a volume in memory, without waiting."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from volumelease import (
    Lease,
    LeaseDeadlock,
    LeaseError,
    LeaseLost,
    LeaseTimeout,
    PathInvalid,
    VolumeNotFound,
    volume_lease,
)
from volumelease.testing import MemoryVolume


@pytest.fixture
def volume() -> Iterator[MemoryVolume]:
    """In the place of this process's volumes; at the end of a test nothing is left in it."""
    with MemoryVolume("/v") as volume:
        yield volume
        assert volume.leases == ()
        assert volume.waiting == ()


def running(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


async def until(true: Callable[[], Any]) -> None:
    """Let other tasks and threads go on until it is."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0)


async def take(path: str, **options: Any) -> None:
    async with volume_lease(path, **options):
        pass


# ---- equal to threads


def test_a_lease_says_what_it_is(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a") as lease:
            assert isinstance(lease, Lease)
            assert lease.paths == ("/v/a",)
            assert lease.mode == "exclusive"
            assert lease.remaining > 0
            lease.check()
        with pytest.raises(LeaseLost, match="released"):
            lease.check()

    running(main)


def test_the_same_task_enters_again_what_it_holds(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a") as outer:
            async with volume_lease("/v/a/b", shared=True, timeout=0) as inner:
                assert inner.token == outer.token
            outer.check()
            with volume_lease("/v/a/b", timeout=0) as inner:  # a block for threads, in a task
                assert inner.token == outer.token
            with pytest.raises(LeaseDeadlock, match="this task holds"):
                await take("/v")

    running(main)


def test_tasks_exclude_each_other(volume: MemoryVolume) -> None:
    inside = 0
    most = 0

    async def work() -> None:
        nonlocal inside, most
        async with shared_object:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(50)))

    shared_object = volume_lease("/v/a")
    running(main)
    assert most == 1


def test_errors_are_those_of_threads(volume: MemoryVolume) -> None:
    async def main() -> None:
        with volume.held_elsewhere("/v/a", reason="sync"):
            with pytest.raises(LeaseTimeout, match="sync"):
                await take("/v", timeout=0)
            with pytest.raises(LeaseTimeout):
                await take("/v", timeout=0.01)
        with pytest.raises(PathInvalid):
            await take("")
        with pytest.raises(VolumeNotFound):
            await take("/elsewhere")

    running(main)


def test_two_tasks_that_wait_for_each_other_get_one_deadlock(volume: MemoryVolume) -> None:
    outcomes: list[str] = []

    async def want(first: str, second: str, ready: asyncio.Barrier) -> None:
        async with volume_lease(first):
            await ready.wait()
            try:
                await take(second)
            except LeaseDeadlock:
                outcomes.append("deadlock")
            else:
                outcomes.append("granted")

    async def main() -> None:
        ready = asyncio.Barrier(2)
        await asyncio.gather(want("/v/a", "/v/b", ready), want("/v/b", "/v/a", ready))

    running(main)
    assert sorted(outcomes) == ["deadlock", "granted"]


def test_tasks_threads_and_several_loops_share_one_object_and_take_turns(
    volume: MemoryVolume,
) -> None:
    one = volume_lease("/v/counter")
    counter = [0]

    def add() -> None:
        value = counter[0]
        threading.Event().wait(0.0005)
        counter[0] = value + 1

    async def in_a_task() -> None:
        async with one:
            value = counter[0]
            await asyncio.sleep(0)
            counter[0] = value + 1

    async def main() -> None:
        await asyncio.gather(*(in_a_task() for _ in range(10)))

    def in_a_thread() -> None:
        for _ in range(10):
            with one:
                add()

    works = [in_a_thread, lambda: asyncio.run(main())] * 3
    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()
    assert counter == [60]


def test_one_object_serves_one_loop_after_another(volume: MemoryVolume) -> None:
    one = volume_lease("/v/a")

    async def main() -> None:
        async with one:
            pass

    for _ in range(3):
        asyncio.run(main())


# ---- who was started inside a block


def test_a_task_started_inside_a_block_is_told_of_lend(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a"):
            for child in (take("/v/a"), take("/v/a/b", shared=True), grandchild()):
                with pytest.raises(LeaseDeadlock, match=r"lease\.lend\(\)"):
                    await asyncio.create_task(child)
            await asyncio.create_task(take("/v/b"))
        await asyncio.create_task(take("/v/a"))

    async def grandchild() -> None:
        async with volume_lease("/v/c"):
            await asyncio.create_task(take("/v"))

    running(main)


def test_a_thread_started_inside_a_block_is_told_of_lend(volume: MemoryVolume) -> None:
    def work() -> None:
        with volume_lease("/v/a"):
            pass

    def work_in_time() -> None:
        with volume_lease("/v/a", timeout=5):
            pass

    async def main() -> None:
        async with volume_lease("/v/a"):
            for child in (work, work_in_time):
                with pytest.raises(LeaseDeadlock, match=r"lease\.lend\(\)"):
                    await asyncio.to_thread(child)

    running(main)


def test_a_loop_run_inside_a_block_of_its_thread_is_told_of_lend(volume: MemoryVolume) -> None:
    with volume_lease("/v/a"), pytest.raises(LeaseDeadlock, match=r"lease\.lend\(\)"):
        asyncio.run(take("/v/a"))


def test_readers_started_inside_a_reading_block_are_free(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a", shared=True):
            await asyncio.create_task(take("/v/a", shared=True))

    running(main)


def test_a_task_that_was_there_before_the_block_waits_its_turn(volume: MemoryVolume) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def other() -> None:
            await go.wait()
            await take("/v/a")

        task = asyncio.create_task(other())
        async with volume_lease("/v/a"):
            go.set()
            await until(lambda: volume.waiting)
        await task

    running(main)


def test_a_task_that_outlives_the_block_may_ask(volume: MemoryVolume) -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def child() -> None:
            await go.wait()
            await take("/v/a", timeout=0)

        async with volume_lease("/v/a"):
            task = asyncio.create_task(child())
        go.set()
        await task

    running(main)


# ---- lending


def test_a_borrower_uses_the_same_lease(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a") as lease:

            async def child() -> None:
                async with lease.lend() as lent:
                    assert (lent.token, lent.paths, lent.mode) == (
                        lease.token,
                        lease.paths,
                        lease.mode,
                    )
                    async with volume_lease("/v/a/b", timeout=0) as inner:
                        assert inner.token == lease.token
                    lent.check()
                with pytest.raises(LeaseLost, match="released"):
                    lent.check()
                with pytest.raises(LeaseDeadlock):
                    await take("/v/a")

            await asyncio.gather(child(), child())
            lease.check()

    running(main)


def test_threads_borrow_too(volume: MemoryVolume) -> None:
    def work(lease: Lease) -> int:
        with lease.lend(), volume_lease("/v/a/b", timeout=0) as inner:
            return inner.token

    async def main() -> None:
        async with volume_lease("/v/a") as lease:
            assert await asyncio.to_thread(work, lease) == lease.token

    running(main)
    with volume_lease("/v/a") as lease, ThreadPoolExecutor(2) as pool:
        assert {done.result() for done in [pool.submit(work, lease) for _ in range(9)]} == {
            lease.token
        }


def test_a_borrower_keeps_the_lease_that_its_lender_left(volume: MemoryVolume) -> None:
    async def main() -> None:
        inside, leave = asyncio.Event(), asyncio.Event()

        async def child(lease: Lease) -> None:
            async with lease.lend() as lent:
                inside.set()
                await leave.wait()
                lent.check()
                assert [seen.token for seen in volume.leases] == [lease.token]

        async with volume_lease("/v/a") as lease:
            task = asyncio.create_task(child(lease))
            await inside.wait()
        with pytest.raises(LeaseLost, match="released"):
            lease.check()
        with pytest.raises(LeaseLost), lease.lend():
            pass
        with pytest.raises(LeaseTimeout):
            await asyncio.create_task(take("/v/a", timeout=0))
        leave.set()
        await task
        assert volume.leases == ()

    running(main)


def test_a_thread_borrower_that_leaves_last_does_not_block_the_loop(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a") as lease:
            loan = lease.lend()
            lent = loan.__enter__()  # a block for threads, entered in a task
        assert not lent.over
        loan.__exit__(None, None, None)
        await until(lambda: not volume.leases)

    running(main)


def test_a_loss_reaches_borrowers(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a", on_lost="ignore") as ignoring:
            volume.lose()
            with pytest.raises(LeaseLost), ignoring.lend():
                pass

        async def child(lease: Lease) -> None:
            async with lease.lend():
                await asyncio.Event().wait()

        async def lend() -> None:
            async with volume_lease("/v/a") as lease, asyncio.TaskGroup() as group:
                group.create_task(child(lease))
                group.create_task(child(lease))
                await asyncio.sleep(0)
                volume.lose()

        with pytest.raises((LeaseLost, ExceptionGroup)) as caught:
            await lend()
        error = caught.value
        lost = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        assert all(isinstance(each, LeaseLost) for each in lost)

    running(main)


# ---- changes under way


def test_downgrade_is_awaited_and_lets_readers_in(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a") as lease:
            await lease.downgrade()
            assert lease.mode == "shared"
            assert volume.leases[0].mode == "shared"
            with volume.held_elsewhere("/v/a", shared=True):
                pass
            with pytest.raises(LeaseDeadlock, match="upgrade"):
                await take("/v/a")

    running(main)


def test_a_downgrade_waits_for_nobody_who_writes(volume: MemoryVolume) -> None:
    with volume_lease("/v/a") as lease:
        with volume_lease("/v/a/b"), pytest.raises(LeaseError, match="used exclusively"):
            lease.downgrade()
        with volume_lease("/v/a/b", shared=True) as inner:
            lease.downgrade()
            inner.check()
        with lease.lend() as lent:
            assert lent.mode == "shared"


def test_a_release_inside_the_block_is_awaited_and_no_loss(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a") as lease:
            await lease.release()
            assert volume.leases == ()
            await lease.release()
            async with volume_lease("/v/a", timeout=0) as second:
                assert second.token > lease.token

    running(main)


def test_what_was_begun_and_not_awaited_is_done(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a") as lease:
            await asyncio.to_thread(lease.downgrade)  # outside of the loop it is done at once
            assert volume.leases[0].mode == "shared"
            lease.release()
            await until(lambda: not volume.leases)

    running(main)


# ---- loss


def test_a_loss_cancels_the_task_and_the_block_raises_lease_lost(volume: MemoryVolume) -> None:
    async def work() -> None:
        async with volume_lease("/v/a"):
            volume.lose("cut off")
            await asyncio.Event().wait()

    async def main() -> None:
        with pytest.raises(LeaseLost, match="cut off") as caught:
            await work()
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)  # nothing is left to be thrown

    running(main)


def test_a_loss_ends_nested_blocks_with_one_error(volume: MemoryVolume) -> None:
    async def work() -> None:
        async with volume_lease("/v/a"), volume_lease("/v/a/b"), volume_lease("/v/c"):
            volume.lose()
            await asyncio.Event().wait()

    async def main() -> None:
        with pytest.raises(LeaseLost):
            await work()
        await asyncio.sleep(0)

    running(main)


def test_a_cancellation_from_outside_stays_one(volume: MemoryVolume) -> None:
    async def work() -> None:
        async with volume_lease("/v/a"):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(work())
        await until(lambda: volume.leases)
        await asyncio.sleep(0)
        volume.lose()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    running(main)


def test_a_body_that_swallows_the_cancellation_is_told_at_the_end(volume: MemoryVolume) -> None:
    async def work() -> None:
        async with volume_lease("/v/a"):
            volume.lose()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        asyncio.run(work())


def test_an_error_of_the_body_is_not_hidden_by_the_loss(volume: MemoryVolume) -> None:
    async def work() -> None:
        async with volume_lease("/v/a"):
            volume.lose()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        asyncio.run(work())
    assert "was lost" in "".join(caught.value.__notes__)


def test_a_loss_after_the_block_cancels_nobody(volume: MemoryVolume) -> None:
    async def main() -> None:
        await take("/v/a")
        volume.lose()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    running(main)


def test_on_lost_ignore_only_records(volume: MemoryVolume) -> None:
    async def main() -> None:
        async with volume_lease("/v/a", on_lost="ignore") as lease:
            volume.lose()
            await asyncio.sleep(0)
            assert lease.lost

    running(main)


def test_callbacks_are_called_on_the_loop(volume: MemoryVolume) -> None:
    told: list[tuple[Lease, int]] = []

    async def main() -> None:
        async with volume_lease("/v/a", on_lost="ignore") as lease:
            lease.on_lost(lambda lost: told.append((lost, threading.get_ident())))
            lease.on_lost(lambda lost: 1 // 0)  # its trouble is its own

            def fail(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
                assert isinstance(context["exception"], ZeroDivisionError)

            asyncio.get_running_loop().set_exception_handler(fail)
            await asyncio.to_thread(volume.lose)
            await until(lambda: told)
            assert told == [(lease, threading.get_ident())]

    running(main)


# ---- functions


class Callee:
    """An object that can be called and has to be awaited."""

    async def __call__(self) -> str:
        await asyncio.sleep(0)
        return held()


def held() -> str:
    """Whether the path is held right now, by somebody else than a new thread would be."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(_held).result()


def _held() -> str:
    try:
        with volume_lease("/v/a", timeout=0):
            return "free"
    except LeaseTimeout:
        return "held"


def test_it_decorates_coroutine_functions_for_as_long_as_they_run(volume: MemoryVolume) -> None:
    @volume_lease("/v/a")
    async def work(value: int) -> tuple[int, str]:
        """Twice."""
        await asyncio.sleep(0)
        return 2 * value, held()

    assert inspect.iscoroutinefunction(work)
    assert work.__doc__ == "Twice."
    assert asyncio.run(work(4)) == (8, "held")
    assert asyncio.run(volume_lease("/v/a")(Callee())()) == "held"
    assert _held() == "free"


def test_it_decorates_methods(volume: MemoryVolume) -> None:
    class Worker:
        @volume_lease("/v/a")
        async def work(self) -> str:
            return held()

        @volume_lease("/v/a")
        def plain(self) -> str:
            return held()

    assert asyncio.run(Worker().work()) == "held"
    assert Worker().plain() == "held"


def test_it_decorates_async_generators_to_their_end(volume: MemoryVolume) -> None:
    closed: list[str] = []

    @volume_lease("/v/a")
    async def steps(first: int) -> AsyncIterator[Any]:
        try:
            got = yield first
            try:
                yield got
            except ZeroDivisionError:
                yield held()
        finally:
            closed.append(held())

    async def main() -> None:
        assert [step async for step in steps(1)] == [1, None]
        one: Any = steps(1)
        assert await anext(one) == 1
        assert held() == "held"
        assert await one.asend("sent") == "sent"
        assert await one.athrow(ZeroDivisionError()) == "held"
        with pytest.raises(StopAsyncIteration):
            await anext(one)
        assert held() == "free"
        another: Any = steps(1)
        await anext(another)
        await another.aclose()
        assert closed == ["held"] * 3
        await until(lambda: held() == "free")

    running(main)


def test_it_decorates_generators_to_their_end(volume: MemoryVolume) -> None:
    @volume_lease("/v/a")
    def steps() -> Iterator[str]:
        yield held()
        yield held()

    made = steps()
    assert _held() == "free"
    assert list(made) == ["held", "held"]
    assert _held() == "free"
    made = steps()
    next(made)
    made.close()  # type: ignore[attr-defined] # of a generator
    assert _held() == "free"


def test_a_plain_function_that_returns_what_goes_on_is_refused(volume: MemoryVolume) -> None:
    ran: list[int] = []

    async def body() -> None:
        ran.append(1)

    @volume_lease("/v/a")
    def returns_a_coroutine() -> Awaitable[None]:
        return body()

    @volume_lease("/v/a")
    def returns_a_generator() -> Iterator[None]:
        return (print(number) for number in range(3))

    for function in (returns_a_coroutine, returns_a_generator):
        with pytest.raises(TypeError, match="would run after the lease"):
            function()
    assert not ran
