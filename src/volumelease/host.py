"""Who a process is, and whether it is provably gone.

Proof of death spares the ttl, so it must never be wrong: a session that is declared dead while
its process still runs gives a second writer. It counts only within one boot, one pid namespace
and one hostname (a machine restored twice from one memory image shares boot id and namespace
number with its twin; its pids prove nothing, and a new name at least tells them apart).
"""

from __future__ import annotations

import os
import select
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """A process, for ever: pids are reused, a pid with its start time (clock ticks since boot)
    is not. Empty or 0 where this host does not tell; then nothing can be proven."""

    hostname: str
    boot_id: str
    pid_namespace: int
    pid: int
    start_time: int


def this_process(pid: int | None = None) -> ProcessFacts:
    """The facts of this process, or of another one in our pid namespace."""
    pid = os.getpid() if pid is None else pid
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot_id = file.read().strip()
        namespace = os.stat("/proc/self/ns/pid").st_ino
        start_time = start_time_of(pid)
    except (OSError, ValueError):
        return ProcessFacts(os.uname().nodename, "", 0, pid, 0)
    return ProcessFacts(os.uname().nodename, boot_id, namespace, pid, start_time)


def start_time_of(pid: int) -> int:
    """Clock ticks after boot at which ``pid`` started; proc(5), field 22 of stat.

    Errors: ``OSError`` if there is no such process, ``ValueError`` if it can't be read.
    """
    with open(f"/proc/{pid}/stat", "rb") as file:
        content = file.read()
    fields = content.rpartition(b")")[2].split()  # the name before it may hold anything
    if len(fields) < 20:
        raise ValueError(f"/proc/{pid}/stat is cut short")
    return int(fields[19])


def provably_dead(process: ProcessFacts, here: ProcessFacts) -> bool:
    """Whether ``process`` is gone as a whole thread group, seen from ``here`` (this process).

    True only if it belongs to our boot, pid namespace and hostname, and its pid does not exist,
    belongs to a later process, or has a pidfd that reads as ended (a leader that exited while
    other threads run has not; a zombie without threads has). A readable pidfd also proves that no
    file operation of the process is in flight. Whatever is unsure is False. Source:
    pidfd_open(2).
    """
    ours = (here.hostname, here.boot_id, here.pid_namespace)
    unknown = not here.boot_id or not here.pid_namespace or process.pid <= 0
    if unknown or not process.start_time:
        return False
    if (process.hostname, process.boot_id, process.pid_namespace) != ours:
        return False
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return os.path.exists("/proc/self/stat")
    except (OSError, OverflowError, AttributeError):
        return False
    try:
        # Only now: before the pidfd was open the pid could have changed hands unseen.
        if start_time_of(process.pid) != process.start_time:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))
    except FileNotFoundError:
        return os.path.exists("/proc/self/stat")
    except (OSError, ValueError):
        return False
    finally:
        os.close(descriptor)
