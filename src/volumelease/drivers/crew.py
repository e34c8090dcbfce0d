"""A bounded number of threads for the calls that may hang.

An event loop must never wait for a network volume, and a thousand tasks that do must not be a
thousand threads. Nothing here is ever joined: a call can hang for an hour, and the process must
still be able to end.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

MOST_THREADS: Final = 8
"""The commits of one session take turns, so more threads would only wait for each other; fewer,
and a few calls that hang would hold up all others."""

IDLE_SECONDS: Final = 5.0
"""A thread that had nothing to do for so long ends."""


class Job:
    """Work for a thread, and what became of it. ``value`` or ``error`` stands once it is done."""

    __slots__ = ("_listeners", "_lock", "done", "error", "value", "work")

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work: Callable[[], Any] | None = work
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def when_done(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` once: in the thread that did the work, or now if it is done."""
        with self._lock:
            if not self.done:
                self._listeners.append(listener)
                return
        listener()

    def run(self) -> None:
        """Do the work in this thread."""
        work, self.work = self.work, None  # what it refers to lives no longer than needed
        assert work is not None
        try:
            self.value = work()
        except BaseException as error:  # noqa: BLE001 - raised where somebody waits for it
            self.error = error
        del work
        with self._lock:
            self.done = True
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()


class Crew:
    """Does jobs in at most ``size`` daemon threads, made when they are needed.

    Urgent jobs (those that let go) are done before others. Limit: while ``size`` calls hang, all
    other jobs wait.
    """

    def __init__(self, size: int = MOST_THREADS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._size = size
        self._idle_seconds = idle_seconds
        self._news = threading.Condition(threading.Lock())
        self._urgent: deque[Job] = deque()
        self._others: deque[Job] = deque()
        self._threads = 0
        self._idle = 0

    def do(self, job: Job, *, urgent: bool = False, here: bool = True) -> None:
        """Have it done soon.

        If no thread can be made at all, an urgent job is done ``here``, and for another one, or
        where that must not be, this raises ``RuntimeError``.
        """
        with self._news:
            jobs = self._urgent if urgent else self._others
            jobs.append(job)
            if self._staffed():
                return
            jobs.remove(job)
        if not (urgent and here):
            raise RuntimeError("no thread can be started in this process")
        job.run()

    def keep(self, job: Job) -> None:
        """Have it done before the others, and never here: where no thread can be made it waits
        until one can (``rouse``)."""
        with self._news:
            self._urgent.append(job)
            self._staffed()

    def rouse(self) -> None:
        """Try again to make a thread for what waits for one."""
        if self.behind:
            with self._news:
                self._staffed()

    def _staffed(self) -> bool:
        """Whether a thread comes to what waits."""
        if self._idle < len(self._urgent) + len(self._others) and self._threads < self._size:
            return self._hired() or self._threads > 0  # if not this one, another comes to it
        self._news.notify()
        return True

    @property
    def behind(self) -> bool:
        """Whether a job waits for a thread."""
        return bool(self._urgent or self._others)

    def _hired(self) -> bool:
        self._threads += 1
        try:
            threading.Thread(target=self._serve, name="volumelease-call", daemon=True).start()
        except RuntimeError:
            self._threads -= 1
            return False
        return True

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            del job

    def _next(self) -> Job | None:
        with self._news:
            while not self._urgent and not self._others:
                self._idle += 1
                told = self._news.wait(self._idle_seconds)
                self._idle -= 1
                if not told and not self._urgent and not self._others:
                    self._threads -= 1
                    return None
            return (self._urgent or self._others).popleft()
