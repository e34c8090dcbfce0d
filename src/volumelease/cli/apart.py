"""Runs a command in a process of its own, beneath the one that a person or a script waits for.

A process with a call that hangs in a network volume can't end before the call does. The one
beneath may hang: it says that the volume does not answer, lets go of the streams, and is left
behind.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Final, NoReturn

from . import processes

_HANDED_ON: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def run_apart(work: Callable[[], int]) -> int:
    """The exit code that ``work`` returned, or 128 and the number of the signal that ended it.

    Both processes are in one process group, so a terminal's signals reach both; those that
    somebody sends to this process are handed on.
    """
    reading, writing = os.pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDED_ON)
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _work(work, writing)
    os.close(writing)
    threading.Thread(target=_hand_on_signals, args=(pid,), daemon=True).start()
    code = os.read(reading, 1)
    if code:
        return code[0]  # it may not be able to end: it is not waited for
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return ended if ended >= 0 else 128 - ended


def _work(work: Callable[[], int], writing: int) -> NoReturn:
    code = 1
    try:
        processes.die_with_parent()
        code = work()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - this copy must not go on as if it were the other process
        traceback.print_exc()
    finally:
        processes.let_go_of_streams()
        os.write(writing, bytes([code & 0xFF]))
        os._exit(code)


def _hand_on_signals(pid: int) -> None:
    while True:
        heard = signal.sigwaitinfo(_HANDED_ON)
        # What the terminal sent, the other one got: but for a hang-up on who leads the session.
        if heard.si_code <= 0 or processes.hung_up(heard):
            os.kill(pid, heard.si_signo)
