"""The processes beneath one of ours: found through /proc, and signalled without hitting another.

Limit: what asked a service elsewhere to run something (a container runtime, at, ssh) did not make
a descendant, and a process of another user can't be signalled.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36
_NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it. ``start_time`` in clock ticks since boot: with the pid it
    names one process for ever."""

    pid: int
    parent: int
    start_time: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def look_up(pid: int) -> Process | None:
    """The process with that pid, a zombie too; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The name stands in parentheses and may hold any byte, a parenthesis too.
    head, _, tail = text.rpartition(b")")
    fields = tail.split()
    if len(fields) < 20:
        return None
    name = head.partition(b"(")[2].decode(errors="replace")
    return Process(pid, int(fields[1]), int(fields[19]), name)


def descendants(of: int) -> list[Process]:
    """Everything beneath that process, parents before their children.

    Limit: one look. What is forked meanwhile may be missing, so whoever ends a tree looks again
    until nothing is left.
    """
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        process = look_up(int(name)) if name.isdigit() else None
        if process is not None:
            children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    front = [of]
    while front:
        beneath = children.pop(front.pop(), [])
        found.extend(beneath)
        front.extend(process.pid for process in beneath)
    return found


def send(processes: Iterable[Process], number: int) -> list[Process]:
    """Signal each of them. Returns those that we are not permitted to signal."""
    return [process for process in processes if not _signal_one(process, number)]


def named(found: list[Process]) -> str:
    """The first of them, for a person."""
    more = f" and {len(found) - _NAMES_SHOWN} more" if len(found) > _NAMES_SHOWN else ""
    return ", ".join(map(str, found[:_NAMES_SHOWN])) + more


def beyond_reach(found: list[Process]) -> str:
    """What to tell a person of those that ``send`` was not permitted to signal."""
    one = len(found) == 1
    return (
        f"{named(found)} {'runs' if one else 'run'} as another user, and can't be ended from here: "
        f"without the lease {'it' if one else 'they'} must not write, so end "
        f"{'it' if one else 'them'} by hand"
    )


def _signal_one(process: Process, number: int) -> bool:
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    except OSError:  # a kernel before 5.3, or a sandbox that knows no pidfd
        descriptor = -1
    try:
        now = look_up(process.pid)
        if now is None or now.start_time != process.start_time:
            return True  # the number belongs to somebody else by now
        if descriptor >= 0:
            signal.pidfd_send_signal(descriptor, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return True


def hung_up(heard: signal.struct_siginfo) -> bool:
    """Whether the terminal hung up on this process, the leader of its session. The kernel tells
    nobody else of that until the leader ends (SIGHUP, then SIGCONT); all other signals of a
    terminal go to the whole foreground group."""
    of_kernel = heard.si_signo == signal.SIGHUP and heard.si_code > 0
    return of_kernel and os.getsid(0) == os.getpid()


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends: then none can slip away by
    forking twice. Errors: ``OSError`` where the kernel can't (Linux before 3.4)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Get SIGKILL when the thread that forked this process ends. Survives exec, but not that of
    a set-uid program; children don't inherit it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def let_go_of_streams() -> None:
    """Whoever reads what this process says need not wait for its end any more."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def rename(name: str) -> None:
    """Show this process under that name (15 bytes of it) in ``ps -o comm`` and ``top``."""
    buffer = ctypes.create_string_buffer(name.encode())
    _prctl(_PR_SET_NAME, ctypes.addressof(buffer))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(number) for number in (value, 0, 0, 0)]
    if libc.prctl(option, *arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")
