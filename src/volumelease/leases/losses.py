"""Who is told that a lease was lost: what ends its use first, then whoever asked to know."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from .lease import Lease

Rest = Callable[[], Any]
"""What is left to be done once everybody was told: it may take as long as it likes."""


def call_when_lost(
    lease: Lease, callback: Callable[[Lease], Any], loop: AbstractEventLoop | None
) -> None:
    """Tell a user, on ``loop`` if there is one."""
    with lease._lock:
        lease._callbacks.append((callback, loop))
    _listen(lease)


def act_when_lost(lease: Lease, act: Callable[[Lease], Rest | None]) -> None:
    """Have it done before any user is told. It must not block."""
    with lease._lock:
        lease._acts = (*lease._acts, act)
    _listen(lease)


def _listen(lease: Lease) -> None:
    with lease._lock:
        if lease._stop_listening is not None:
            return
        lease._stop_listening = lambda: None  # who comes now needs not listen again
    there = weakref.ref(lease)  # what listens must not keep a lease that nobody has any more

    def tell_if_lost() -> Rest | None:
        lease = there()
        return None if lease is None or lease._released or not lease.lost else tell(lease)

    lease._stop_listening = lease._hosted.on_change(tell_if_lost)
    if lease._released:
        lease._stop_listening()


def tell(lease: Lease) -> Rest | None:
    """Do what must be done at once. Returns what is left: to tell its users, who may block."""
    with lease._lock:
        acts, lease._acts = lease._acts, ()
        callbacks, lease._callbacks = lease._callbacks, []
    ending: list[BaseException] = []
    rests: list[Rest] = []
    for act in acts:
        try:
            if (rest := act(lease)) is not None:
                rests.append(rest)
        except BaseException as error:  # noqa: BLE001 - the others must be told all the same
            ending.append(error)
    for callback, loop in callbacks:
        if loop is None or not _told_on(loop, callback, lease):
            rests.append(_Telling(callback, lease))
    if not rests and not ending:
        return None
    return lambda: _do_all(rests, ending)


def _told_on(loop: AbstractEventLoop, callback: Callable[[Lease], Any], lease: Lease) -> bool:
    try:
        loop.call_soon_threadsafe(callback, lease)
    except RuntimeError:  # it is closed
        return False
    return True


class _Telling:
    def __init__(self, callback: Callable[[Lease], Any], lease: Lease) -> None:
        self._callback = callback
        self._lease = lease

    def __call__(self) -> None:
        try:
            self._callback(self._lease)
        except Exception as error:  # noqa: BLE001 - the next one must be told all the same
            self._lease._hosted.notice(
                f"{self._callback!r} failed when told of a lost lease: {error!r}"
            )


def _do_all(rests: list[Rest], ending: list[BaseException]) -> None:
    """Errors: the last of ``ending``, or what asked for an end since: once all is done."""
    for rest in rests:
        try:
            rest()
        except BaseException as error:  # noqa: BLE001 - sys.exit(): once all are told
            ending.append(error)
    if ending:
        raise ending[-1]


def end_this_process(lease: Lease) -> Rest | None:
    """SIGTERM now, SIGKILL before another session may take over.

    The first process of a container has no default action on SIGTERM: the kernel discards what it
    does not handle. It goes on until the second moment then, and ends with 137. It does not exit at
    the first one, for it may wait for SIGTERM in another way than by a handler.
    """
    import signal

    timer = threading.Timer(lease._hosted.last_seconds(), _end_at_once, (signal.SIGKILL,))
    timer.daemon = True
    rest: Rest | None = None
    try:
        timer.start()
    except RuntimeError:  # no thread can be made: whoever was told waits for it
        rest = timer.run
    os.kill(os.getpid(), signal.SIGTERM)
    return rest


def _end_at_once(number: int) -> None:
    try:
        os.kill(os.getpid(), number)
    finally:
        os._exit(128 + number)  # PID 1 gets no SIGKILL from inside, but can exit
