"""``hold``'s ends of its two processes: started before anything else, told what to do, let go."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NoReturn

from . import keeper, processes, warden
from .orders import Message, Sender
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
class Servant:
    """A process of ours: what it reports comes out of ``reports_from``; that ends with it."""

    process: processes.Process
    orders: Sender
    reports_from: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, kind: bytes, number: int = 0, at: float = 0.0, text: str = "") -> None:
        """One that does not listen is noticed by its silence."""
        self.orders.send(Message(kind, number, at, text))

    def kill(self) -> None:
        processes.send([self.process], signal.SIGKILL)

    def bury(self) -> None:
        """Wait for its end."""
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


@dataclass(frozen=True, slots=True)
class Reins:
    """``signals`` are blocked in this process, to be waited for and handed on.

    ``shared_group``: the command is in this process's group, because there is a terminal: its
    Ctrl-C and Ctrl-Z reach both, and a shell's job control works. Then what the terminal sends
    is not handed on, or the command would get it twice; but a hang-up is, which the kernel tells
    the leader of the session only, if that is this process. Limit: what somebody sends to the
    whole group (a shell at its own hang-up) the command gets twice; it looks as if sent to this
    process.
    """

    warden: Servant
    keeper: Servant
    signals: frozenset[int]
    shared_group: bool


def take_reins(command: tuple[str, ...], wish: keeper.Wish) -> Reins:
    """Fork warden and keeper. To be called while this process has one thread.

    Errors: ``Problem``, where the kernel can't keep a tree of processes together.
    """
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
    terms = warden.Terms(command, group, frozenset(mask), wish.shared)
    guard = _fork(lambda orders, reports: warden.serve(terms, orders, reports))

    def keep(orders_from: int, reports_to: int) -> NoReturn:
        # With a copy of this end the warden would not notice that hold is gone.
        guard.orders.close()
        os.close(guard.reports_from)
        keeper.serve(wish, guard.pid, orders_from, reports_to)

    return Reins(guard, _fork(keep), frozenset(heard), shared_group)


def _fork(serve: Callable[[int, int], NoReturn]) -> Servant:
    orders_from, orders_to = os.pipe()
    reports_from, reports_to = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(orders_to)
        os.close(reports_from)
        serve(orders_from, reports_to)
    os.close(orders_from)
    os.close(reports_to)
    process = processes.look_up(pid) or processes.Process(pid, os.getpid(), 0, "")
    return Servant(process, Sender(orders_to), reports_from)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
