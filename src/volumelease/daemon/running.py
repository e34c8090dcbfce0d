"""A daemon from its start to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from volumelease.leases.volumes import Surroundings, Volumes

from . import admission, bequest
from .doorway import Doorway
from .memory import keep_together
from .page import Page
from .reception import Opened, Reception, nobody_asked
from .server import Server

_CLOSE_SECONDS: Final = 2.0
_GOING_SECONDS: Final = 1.0


class Daemon:
    """One daemon on one socket.

    It stops gracefully: a session that nobody uses is closed, and its leases are free at once;
    one whose clients live is left as it is, so that a successor goes on with it, and else its
    leases end at their deadline, as when the daemon is killed.
    """

    def __init__(
        self,
        path: str,
        surroundings: Surroundings,
        report: Callable[[str], None],
        *,
        ends_writers: bool = False,
        keeps_life: bool = False,
        opened: Opened = nobody_asked,
    ) -> None:
        self._doorway = Doorway(path)
        self._report = report
        self._volumes = Volumes(
            surroundings._replace(provable=False, daemon=False, keeps_life=keeps_life)
        )
        will = path + ".sessions"
        self._reception = Reception(
            self._volumes, Page(path + ".page"), will, ends_writers=ends_writers, opened=opened
        )
        left = _wait_for(will, surroundings)
        if left is not None:
            self._reception.resume(left, report)
        self.server = Server(self._reception, report)
        self._stop: asyncio.Event | None = None

    def run(self, started: Callable[[], None] = lambda: None, *, signals: bool = True) -> None:
        """Serve until SIGTERM or SIGINT (in the main thread, with ``signals``), or ``stop``.
        ``started`` is called on the loop, when clients can connect."""
        asyncio.run(self._run(started, signals=signals))

    def stop(self) -> None:
        """From any thread, once it has started."""
        self.server.on_loop(lambda: self._stop.set() if self._stop is not None else None)

    async def _run(self, started: Callable[[], None], *, signals: bool) -> None:
        stop = self._stop = asyncio.Event()
        if signals and threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
        listening = self._doorway.open()
        try:
            started()
            await self.server.run(listening, stop)
        finally:
            self._doorway.close()

    def end(self) -> None:
        """After ``run``: let go of what nobody uses, and end this process's part in it all."""
        self._reception.close(_CLOSE_SECONDS)
        self._doorway.leave()

    def end_all(self, seconds: float) -> None:
        """After ``run``: what dead clients had is free at once, too. Sessions of clients that live
        (who came into the container from outside, say) end at their deadline."""
        self._reception.close(seconds, everything=True)
        self._doorway.leave()


def _wait_for(will: str, surroundings: Surroundings) -> bequest.Bequest | None:
    """What a predecessor left. It lets go of its lock a moment before it is gone as a whole."""
    until = time.monotonic() + _GOING_SECONDS
    while True:
        left = bequest.heirless(will, surroundings.process)
        if left is not None or time.monotonic() > until or bequest.read(will) is None:
            return left
        time.sleep(0.01)


def serve(
    path: str,
    surroundings: Surroundings,
    report: Callable[[str], None],
    started: Callable[[], None] = lambda: None,
    *,
    ends_writers: bool = False,
    opened: Opened = nobody_asked,
) -> None:
    """Be the daemon. Ends the process, whatever hangs on a volume. Errors: ``SocketTaken``,
    ``LeaseError``, ``OSError`` before it serves."""
    admission.widen()
    keep_together()
    daemon = Daemon(path, surroundings, report, ends_writers=ends_writers, opened=opened)
    daemon.run(started)
    daemon.end()
    os._exit(0)
