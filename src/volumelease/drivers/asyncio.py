"""Run flows from an event loop, which never waits for the volume.

A flow goes one leg after another: from one wait to the next in a thread of a ``Crew``, and the
waits in between as futures of the loop, so that a waiter costs no thread. A flow whose task was
cancelled gives back what it was granted, or may yet be granted, wherever it stands. Limit: a task
whose loop was closed under it can't be told apart from one that will go on, as long as somebody
keeps it; it gives back when it is collected, or, if it sat waiting, when it would be woken.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final, Generic, Protocol, TypeVar

from volumelease.model import Flow, Resumed, Step, Wait

from .crew import Crew, Job
from .threads import Abandoned, Host, WaitingRoom, perform

T = TypeVar("T")

GRACE_SECONDS: Final = 1.0
"""How long a cancelled task waits to see its lease given back. A volume that answers takes
milliseconds; one that hangs must not keep the task, and a second cancellation ends the wait."""


class AsyncHost(Host, Protocol):
    """The running authority, as a flow on an event loop talks to it."""

    @property
    def room(self) -> WaitingRoom: ...

    def still_waits(self, token: int) -> bool:
        """Whether there is nothing new about the token. Never blocks for long."""

    def abandon(self) -> None:
        """Whoever put the question that is being answered has gone. Never blocks for long."""


async def run_flow(
    flow: Flow[T],
    host: AsyncHost,
    crew: Crew,
    *,
    seconds: float | None = None,
    undo: Callable[[T], Any] = lambda _: None,
) -> T:
    """Run a lease operation to its end. Errors: what the flow raises; ``TimeoutError`` if it took
    longer than ``seconds``.

    Whatever ends this early (a cancellation, the end of the loop), the flow gives back; a result
    that nobody takes any more goes to ``undo``, in a thread of the crew.
    """
    journey = Journey(flow, host, crew, undo)
    if seconds is None:
        return await journey.travel()
    async with asyncio.timeout(seconds):
        return await journey.travel()


async def outcome(job: Job, seconds: float | None = None) -> Any:
    """What the job came to; it goes on whatever happens to this task.

    A cancellation waits for it a moment, a second one doesn't. Errors: the job's; ``TimeoutError``
    if it takes longer than ``seconds``.
    """
    try:
        await _done(job, seconds)
    except asyncio.CancelledError:
        await _see_through(job)
        raise
    if not job.done:
        raise TimeoutError
    if job.error is not None:
        raise job.error
    return job.value


class Journey(Generic[T]):
    """One flow under way. Only one thread at a time runs it."""

    def __init__(
        self, flow: Flow[T], host: AsyncHost, crew: Crew, undo: Callable[[T], Any]
    ) -> None:
        self._flow = flow
        self._host = host
        self._crew = crew
        self._undo = undo
        self._lock = threading.Lock()
        self._started = False
        self._running: Job | None = None
        self._abandoned = False
        self._given_up = False
        self._result: list[T] = []
        self._error: BaseException | None = None

    async def travel(self) -> T:
        """To the end. Errors: what the flow raises, and what interrupts this task."""
        try:
            step = await self._leg(None)
            while step is not None:
                await self._wait(step)
                step = await self._leg(Resumed(self._host.now()))
        except BaseException as error:
            job = self.abandon()
            if job is not None and not isinstance(error, GeneratorExit):
                await _see_through(job)
            raise
        if self._error is not None:
            raise self._error
        return self._result[0]

    # ---- on the loop

    async def _leg(self, resumed: Resumed | None) -> Wait | None:
        job = Job(lambda: self._go(job, resumed))
        self._crew.do(job)
        await _done(job, None, self.abandon)
        step: Wait | None = job.value
        return step

    async def _wait(self, step: Wait) -> None:
        room = self._host.room
        waker = _Waker(self.abandon)
        room.enter(step.token, waker)
        try:
            if self._host.still_waits(step.token):
                await waker.wait(step.seconds)
        finally:
            waker.over()
            room.leave(step.token)

    def abandon(self) -> Job | None:
        """Nobody waits for this flow any more: it is to give back. Returns the job that does,
        if there is anything to give back. May be called by any thread, any number of times."""
        with self._lock:
            running = self._running
            again, self._abandoned = self._abandoned, True
        self._host.abandon()
        if running is not None:  # it sees for itself
            return running
        if again or not self._started:
            return None
        job = Job(self._settle)
        self._crew.do(job, urgent=True)
        return job

    # ---- in a thread

    def _go(self, job: Job, resumed: Resumed | None) -> Wait | None:
        """On to the next wait, or to the end (None)."""
        with self._lock:
            if self._abandoned:
                return None
            self._started = True
            self._running = job
        try:
            step = next(self._flow) if resumed is None else self._flow.send(resumed)
            return self._on(step)
        except StopIteration as finished:
            self._arrive(finished.value)
        except BaseException as error:  # noqa: BLE001 - raised where the task waits for it
            self._error = error
        finally:
            with self._lock:
                self._running = None
        return None

    def _on(self, step: Step) -> Wait | None:
        while True:
            if isinstance(step, Wait):
                with self._lock:
                    if not self._abandoned:
                        self._running = None
                        return step
            trouble: BaseException | None = None
            resumed = Resumed(0.0)
            if self._leaves_now():  # looked at after the question was made
                trouble = Abandoned()
            else:
                try:
                    resumed = perform(step, self._host)
                except BaseException as error:  # noqa: BLE001 - thrown into the flow
                    trouble = error
                if trouble is None and self._leaves_now():
                    trouble = Abandoned()
            step = self._flow.send(resumed) if trouble is None else self._flow.throw(trouble)

    def _leaves_now(self) -> bool:
        """Once: what the flow asks for after it was told is how it gives back."""
        if self._abandoned and not self._given_up:
            self._given_up = True
            return True
        return False

    def _arrive(self, result: T) -> None:
        with self._lock:
            self._running = None
            self._result.append(result)
            if not self._abandoned:
                return
        self._undo(result)

    def _settle(self) -> None:
        """Give back what an abandoned flow that stands still has or may get."""
        if self._result:
            self._undo(self._result[0])
            return
        self._given_up = True
        try:
            self._on(self._flow.throw(Abandoned()))
        except StopIteration as finished:
            self._undo(finished.value)
        except Abandoned:
            return


class _Waker:
    """Wakes a task from any thread. ``orphaned`` is called if its loop is gone: then nobody
    would ever hear what was granted."""

    def __init__(self, orphaned: Callable[[], Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] = self._loop.create_future()
        self._over = False
        self._orphaned = orphaned

    def set(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed
            if not self._over:
                self._orphaned()

    def _wake(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self, seconds: float | None) -> None:
        timer = None if seconds is None else self._loop.call_later(seconds, self._wake)
        try:
            await self._future
        finally:
            self.over()
            if timer is not None:
                timer.cancel()

    def over(self) -> None:
        """Nobody waits any more."""
        self._over = True


async def _done(
    job: Job, seconds: float | None, orphaned: Callable[[], Any] = lambda: None
) -> None:
    waker = _Waker(orphaned)
    job.when_done(waker.set)
    await waker.wait(seconds)


async def _see_through(job: Job) -> None:
    try:
        await _done(job, GRACE_SECONDS)
    except asyncio.CancelledError:
        return  # cancelled again: whoever called raises the first one
