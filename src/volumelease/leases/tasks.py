"""What asyncio adds to a block: it ends without blocking the loop, and a loss cancels its task."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from volumelease.drivers.asyncio import outcome, run_flow
from volumelease.drivers.crew import Crew, Job
from volumelease.errors import LeaseError

from .losses import act_when_lost

if TYPE_CHECKING:
    from .blocks import Block
    from .lease import Lease, Terms
    from .order import Order
    from .volumes import Volumes


def this_loop() -> asyncio.AbstractEventLoop:
    """The loop of the running task."""
    return asyncio.get_running_loop()


async def enter(order: Order, volumes: Volumes) -> Block:
    """What ``entering.enter`` does, without blocking the loop. Errors: the same."""
    from .entering import enter
    from .talking import Conversation

    owner = volumes.owners.current()
    talk = Conversation(volumes.surroundings.clock)
    flow = enter(order, volumes, owner, owner.around(), talk)
    crew = volumes.crew(order.paths[0])
    seconds = volumes.patience(order.timeout)
    try:
        return await run_flow(
            flow, talk, crew, seconds=seconds, undo=lambda block: block.lease.release()
        )
    except TimeoutError as error:
        if isinstance(error, LeaseError):
            raise
        owner.forget_abandoned()
        raise volumes.no_answer(seconds or 0.0) from None
    except BaseException:
        owner.forget_abandoned()
        raise


async def finish(terms: Terms, work: Callable[[], None], error: BaseException | None) -> None:
    """Do the last ``work`` of a block, whatever happens to the task."""
    job = Job(work)
    terms.crew.do(job, urgent=True)
    if isinstance(error, GeneratorExit):  # a coroutine that is being closed may not wait
        return
    # Who set a timeout does not wait for a volume that hangs here either.
    seconds = None if terms.timeout is None else terms.volumes.patience(0.0)
    with suppress(TimeoutError):
        await outcome(job, seconds)


async def aside(
    crew: Crew, work: Callable[[], Any], undo: Callable[[], None] = lambda: None
) -> Any:
    """The result of ``work``, done in a thread. Cancelled meanwhile, it goes on, and is undone."""
    job = Job(work)
    crew.do(job, urgent=True)
    try:
        return await outcome(job)
    except asyncio.CancelledError:
        crew.do(Job(lambda: job.when_done(undo)), urgent=True)
        raise


def begin(crew: Crew, work: Callable[[], None]) -> Awaitable[None] | None:
    """Begin ``work`` in a thread; await what this returns for its end. None, and nothing begun,
    where no loop runs: then it can be done right here."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    return _Begun(crew, work)


class _Begun:
    """Goes on whether it is awaited or not."""

    def __init__(self, crew: Crew, work: Callable[[], None]) -> None:
        self._job = Job(work)
        crew.do(self._job, urgent=True)

    def __await__(self) -> Generator[Any, None, None]:
        return outcome(self._job).__await__()


class Interruption:
    """Cancels the task of a block when its lease is lost, as ``asyncio.timeout`` does when the
    time is over: the block's end turns that cancellation into ``LeaseLost``."""

    __slots__ = ("_before", "_cancelled", "_loop", "_over", "_task")

    def __init__(self, lease: Lease) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = weakref.ref(task)  # else a loop that is gone would keep it, and its lease
        self._loop = asyncio.get_running_loop()
        self._before = task.cancelling()
        self._cancelled = False
        self._over = False
        act_when_lost(lease, self._lost)

    def _lost(self, lease: Lease) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to interrupt
            self._loop.call_soon_threadsafe(self._cancel, str(lease._lost_error()))

    def _cancel(self, why: str) -> None:
        task = self._task()
        if task is not None and not self._over:
            self._cancelled = True
            task.cancel(why)

    def over(self, error: BaseException | None) -> bool:
        """The block ends. Returns whether this alone is why."""
        self._over = True
        task = self._task()
        if task is None or not self._cancelled:
            return False
        alone = task.uncancel() <= self._before
        return alone and isinstance(error, asyncio.CancelledError)
