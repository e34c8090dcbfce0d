"""Run protocols and flows in the calling thread.

The steps of all protocols of one session are atomic with respect to each other: a thread holds
the session's lock while the generator runs, and gives it up for every effect. That is exactly
the freedom the simulator explores.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol, TypeVar

from volumelease.effects import Effect, Steps
from volumelease.model import Answer, Ask, Call, Flow, Question, Resumed, Step, Wait

T = TypeVar("T")


class Performer(Protocol):
    def perform(self, effect: Effect) -> Any: ...


PATIENCE_SECONDS: Final = 0.01
"""For how long a thread that commits again and again may go before one that waits. A switch at
every commit would cost each of them more than its commit."""


class ThreadTurn:
    """The turn of a session to commit, among the threads of this process.

    Promise: whoever waits has it after ``PATIENCE_SECONDS`` and the commits of those who waited
    longer; a beat must never wait behind a busy thread. Limit: those who wait for the same time
    come in any order.

    It knows which thread has it, so that one which was interrupted while it entered can leave
    whether it got in or not. Should one be interrupted between a lock and the note of that, who
    finds it taken for as long as anybody waits puts a new lock in its place: the accident costs
    one wait and not all later ones.
    """

    __slots__ = ("_door", "_had_at", "_lock", "_next_since", "_owner")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._had_at = 0.0
        self._door = threading.Lock()
        """Held by the next one: nobody else waits for ``_lock``, so it can't be overtaken there."""
        self._next_since = 0.0

    def free(self) -> bool:
        now = time.monotonic()
        if self._door.locked() and now - self._next_since > PATIENCE_SECONDS:
            return False
        if not self._lock.acquire(blocking=False):
            return False
        self._owner, self._had_at = threading.get_ident(), now
        return True

    def enter(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        door = self._door
        if not door.acquire(timeout=seconds):
            if door is self._door and time.monotonic() - self._next_since >= seconds:
                self._door = threading.Lock()
            return False
        try:
            self._next_since = time.monotonic()
            return self._wait(seconds, until)
        finally:
            door.release()

    def _wait(self, seconds: float, until: float) -> bool:
        lock = self._lock
        if lock.acquire(timeout=max(0.0, until - time.monotonic())):
            if lock is self._lock:
                self._owner, self._had_at = threading.get_ident(), time.monotonic()
            return True
        if lock is self._lock and time.monotonic() - self._had_at >= seconds:
            self._lock, self._owner = threading.Lock(), 0
        return False

    def leave(self) -> None:
        if self._owner == threading.get_ident():
            lock, self._owner = self._lock, 0
            with suppress(RuntimeError):  # it was had for long, and another one took its place now
                lock.release()


class Monitor:
    """Runs the protocols of one session, in any number of threads."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
        self.lock = threading.RLock()

    def run(self, steps: Steps[T]) -> T:
        """Run a protocol to its end.

        Whatever interrupts an effect (``KeyboardInterrupt`` too) is thrown into the protocol, so
        that it can leave things in order. Errors: what the protocol raises.
        """
        answer: Any = None
        trouble: BaseException | None = None
        perform = self._performer.perform
        lock = self.lock
        try:
            while True:
                try:
                    with lock:
                        effect = steps.send(answer) if trouble is None else steps.throw(trouble)
                except StopIteration as finished:
                    result: T = finished.value
                    return result
                answer = trouble = None
                try:
                    answer = perform(effect)
                except BaseException as error:  # noqa: BLE001 - thrown into the protocol
                    trouble = error
        finally:
            # Else an error and this frame keep each other, with every directory that was open,
            # until a collection of garbage: in a large process hours later.
            answer = trouble = None


class Waker(Protocol):
    """What a waiter leaves behind to be told: a ``threading.Event`` is one."""

    def set(self) -> None: ...


class WaitingRoom:
    """Where whoever waits for news about a token leaves word: threads here, tasks of an event
    loop in ``drivers.asyncio``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakers: dict[int, Waker] = {}

    def wake(self, token: int | None) -> None:
        """There is news about ``token``, or (None) about everything. Never blocks for long."""
        with self._lock:
            if token is None:
                wakers = list(self._wakers.values())
            else:
                waker = self._wakers.get(token)
                wakers = [] if waker is None else [waker]
        for waker in wakers:
            waker.set()

    def enter(self, token: int, waker: Waker) -> None:
        """Have ``waker`` set when there is news about ``token``; one for each token. Then look
        whether the news came before."""
        with self._lock:
            self._wakers[token] = waker

    def leave(self, token: int) -> None:
        with self._lock:
            self._wakers.pop(token, None)

    def wait(self, token: int, seconds: float, waits: Callable[[int], bool]) -> None:
        """Sleep until there is news, at most ``seconds``; not at all if ``waits`` says that the
        news came before we sat down."""
        event = threading.Event()
        self.enter(token, event)
        try:
            if waits(token):
                event.wait(seconds)
        finally:
            self.leave(token)


class Host(Protocol):
    """The running authority that a flow talks to."""

    def ask(self, question: Question) -> Answer: ...

    def wait(self, token: int, seconds: float) -> None: ...

    def notice(self, text: str) -> None: ...

    def now(self) -> float: ...


def run_flow(flow: Flow[T], authority: Host) -> T:
    """Run a lease operation to its end, blocking this thread. Errors: what the flow raises."""
    try:
        step = next(flow)
        while True:
            try:
                resumed = perform(step, authority)
            except BaseException as error:  # noqa: BLE001 - thrown into the flow
                step = flow.throw(error)
            else:
                step = flow.send(resumed)
    except StopIteration as finished:
        result: T = finished.value
        return result


def perform(step: Step, authority: Host) -> Resumed:
    """Do one step of a flow in this thread. Errors: those of the authority, and of a call."""
    if isinstance(step, Ask):
        answer = authority.ask(step.question)
        return Resumed(authority.now(), answer)
    if isinstance(step, Call):
        return Resumed(authority.now(), None, step.work())
    if isinstance(step, Wait):
        authority.wait(step.token, step.seconds)
    else:
        authority.notice(step.text)
    return Resumed(authority.now())


class Abandoned(Exception):
    """Thrown into a flow whose caller gave up on it, so that it gives back what it asked for."""


class Errand:
    """Work that runs in a helper thread, and whether anybody still wants it."""

    __slots__ = ("abandoned", "done", "error", "nudge", "undo", "value", "work")

    def __init__(self, work: Callable[[Errand], Any], undo: Callable[[Any], Any]) -> None:
        self.work = work
        self.undo = undo
        self.done = threading.Event()
        self.abandoned = False
        self.nudge: Callable[[], None] | None = None
        """Wakes the work where it waits, so that it sees that it was abandoned."""
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do the work, and keep what came of it for who asked."""
        try:
            self.value = self.work(self)
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            self.error = error
        self.done.set()

    def abandon(self) -> None:
        self.abandoned = True
        nudge = self.nudge
        if nudge is not None:
            nudge()


class Patience:
    """Runs calls in a helper thread, so that the caller can give up on one that hangs: a system
    call on a network volume can block for an hour, and nothing can interrupt it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Helper] = []

    def __del__(self) -> None:
        for helper in self._idle:
            helper.start(None)

    def call(
        self,
        work: Callable[[Errand], T],
        seconds: float,
        undo: Callable[[T], Any] = lambda _: None,
    ) -> T:
        """The result of ``work``, or ``TimeoutError`` after ``seconds``.

        Whatever ends the wait early (``KeyboardInterrupt`` too), ``work`` is abandoned: it goes
        on in its thread, and if it comes to a result after all, ``undo`` gets that.
        """
        errand = Errand(work, undo)
        with self._lock:
            helper = self._idle.pop() if self._idle else None
        if helper is None:
            helper = _Helper()
        try:
            helper.start(errand)
            if not errand.done.wait(seconds):
                raise TimeoutError(f"no answer in {seconds:.1f} s")
        except BaseException:
            with helper.ending:
                finished = errand.done.is_set()
                if not finished:
                    errand.abandon()
            if finished and errand.error is None:
                undo(errand.value)
            raise
        with self._lock:
            self._idle.append(helper)
        if errand.error is not None:
            raise errand.error
        result: T = errand.value
        return result


class _Helper:
    def __init__(self) -> None:
        self._ready = threading.Semaphore(0)
        self._next: Errand | None = None
        self.ending = threading.Lock()
        threading.Thread(target=self._serve, name="volumelease-call", daemon=True).start()

    def start(self, errand: Errand | None) -> None:
        """None: there will be no errands any more."""
        self._next = errand
        self._ready.release()

    def _serve(self) -> None:
        while True:
            self._ready.acquire()
            errand, self._next = self._next, None  # or it would keep what came of it alive
            if errand is None:
                return
            try:
                errand.value = errand.work(errand)
            except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
                errand.error = error
            with self.ending:
                errand.done.set()
                abandoned = errand.abandoned
            if abandoned:
                if errand.error is None:
                    errand.undo(errand.value)
                return  # nobody gives this helper anything to do any more
            del errand
