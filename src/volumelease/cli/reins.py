"""``hold``'s end of its warden: started before anything else, told what to do, let go."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from . import orders, processes, warden
from .orders import Message
from .speech import Problem

_FORWARDED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
_REQUIREMENT_MISSING: Final = 78


@dataclass(frozen=True, slots=True)
class Reins:
    """``signals`` are blocked in this process, to be waited for and handed on.

    ``shared_group``: the command is in this process's group, because there is a terminal: its
    Ctrl-C and Ctrl-Z reach both, and a shell's job control works. Then what the terminal sends
    is not handed on, or the command would get it twice.
    """

    pid: int
    signals: frozenset[int]
    shared_group: bool
    reports_from: int
    orders_to: int
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def order(self, message: Message) -> None:
        """Tell the warden. One that does not listen is noticed by its silence."""
        with self._writing:
            orders.write(self.orders_to, message)

    def dismiss(self) -> None:
        """Close the pipe and wait for the warden's end, which comes after that of the command."""
        with self._writing:
            os.close(self.orders_to)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def start_warden(command: tuple[str, ...]) -> Reins:
    """Fork the warden. To be called while this process has one thread and has not touched the
    volume. Errors: ``Problem``, where the kernel can't keep a tree of processes together."""
    try:
        processes.adopt_orphans()  # should the warden be killed, its tree becomes ours
        os.stat("/proc/self/stat")
    except (OSError, AttributeError) as error:
        raise Problem(
            f"this system can't keep a command's descendants together: {error}",
            advice="Run it on Linux, with /proc mounted",
            exit_code=_REQUIREMENT_MISSING,
        ) from error
    signal.signal(
        signal.SIGCHLD, signal.SIG_DFL
    )  # ignored by a parent, no child could be waited for
    heard = {number for number in _FORWARDED if signal.getsignal(number) != signal.SIG_IGN}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    shared_group = _has_terminal()
    group = os.getpgrp() if shared_group else 0
    orders_from, orders_to = os.pipe()
    reports_from, reports_to = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(orders_to)
        os.close(reports_from)
        warden.serve(warden.Terms(command, group, frozenset(mask)), orders_from, reports_to)
    os.close(orders_from)
    os.close(reports_to)
    return Reins(pid, frozenset(heard), shared_group, reports_from, orders_to)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
