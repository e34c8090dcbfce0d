"""Who this process is, and whether another one is provably dead.

A process taken for dead while it lives is a second writer, so every doubt is "not proven": the
ttl then decides. The doubts that have a schedule are named where they are settled.
"""

from __future__ import annotations

import os
import select
from typing import Final, NamedTuple

_FIRST_TIME_NAMESPACE: Final = 0xEFFFFFFA
"""Its inode on every Linux (PROC_TIME_INIT_INO): start times read there are not shifted."""

_START_TIME_FIELD: Final = 22
_MOST_PIDS: Final = 2**31


class ProcessFacts(NamedTuple):
    """A process, told apart from every other of its boot.

    ``pid_namespace`` is that namespace's inode, and the one ``pid`` counts in; ``start_time`` is
    in clock ticks since boot. What this machine doesn't tell is ``""`` or 0, and proves nothing.
    """

    hostname: str
    boot_id: str
    pid_namespace: int
    pid: int
    start_time: int

    def without_proof(self) -> ProcessFacts:
        """The same process for people, whose death proves nothing: that of one whose session
        another process may go on with."""
        return self._replace(start_time=0)


def this_process(pid: int | None = None) -> ProcessFacts:
    """The facts of this process, or of another one by its pid in our namespace.

    Limit: a start time of 0 for one that is gone or can't be looked at.
    """
    own = pid is None or pid == os.getpid()
    return ProcessFacts(
        hostname=os.uname().nodename,
        boot_id=_boot_id(),
        pid_namespace=_pid_namespace(),
        pid=os.getpid() if pid is None else pid,
        start_time=(_start_time("self") if own else _start_time_of_pid(pid or 0)) or 0,
    )


def provably_dead(facts: ProcessFacts, here: ProcessFacts) -> bool:
    """Whether that process is gone as a whole: no thread of it runs, and no file operation of it
    is in flight.

    True only within one boot, hostname and pid namespace, and only if its pid is free, belongs to
    a process that started at another time, or reads as ended through a pidfd (a zombie whose
    leader alone exited does not). ``here`` is this process. Limits: two copies of one machine's
    memory image are one boot; a process restored from a checkpoint is another one. Source:
    pidfd_open(2), proc_pid_stat(5).
    """
    if not _within_reach(facts, here):
        return False
    try:
        descriptor = os.pidfd_open(facts.pid)
    except ProcessLookupError:
        return True
    except (OSError, AttributeError):  # no such call, not permitted, a thread's number: unsure
        return False
    try:
        # After the pidfd is open: before, the pid could change hands between the two looks.
        started = _start_time_behind(descriptor)
        if started is not None and started != facts.start_time:
            return True
        poll = select.poll()  # not select(): it can't take a descriptor above 1,023
        poll.register(descriptor, select.POLLIN)
        return any(events & select.POLLIN for _, events in poll.poll(0))
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _within_reach(facts: ProcessFacts, here: ProcessFacts) -> bool:
    theirs = (facts.hostname, facts.boot_id, facts.pid_namespace)
    ours = (here.hostname, here.boot_id, here.pid_namespace)
    if theirs != ours or not all(theirs):
        return False
    if not facts.start_time or not 0 < facts.pid < _MOST_PIDS:
        return False
    # ``here`` may be older than a fork into a new namespace, where the same pid is another's.
    return _pid_namespace() == facts.pid_namespace


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""


def _pid_namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _start_time_of_pid(pid: int) -> int | None:
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, OverflowError, AttributeError):
        return None
    try:
        return _start_time_behind(descriptor)
    finally:
        os.close(descriptor)


def _start_time_behind(descriptor: int) -> int | None:
    """The start time of the process behind a pidfd.

    By the number that this /proc has for it: a /proc of another namespace (the host's, mounted
    into a container) has a stranger under the pid that we know.
    """
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
            for line in file:
                name, _, number = line.partition(b":")
                if name == b"Pid" and int(number) > 0:  # -1: gone; 0: not in that namespace
                    return _start_time(str(int(number)))
    except (OSError, ValueError):
        pass
    return None


def _start_time(name: str) -> int | None:
    """The start time of ``/proc/<name>``, or None if it can't be told.

    In a time namespace, /proc shifts it by that namespace's offset: the same process would look
    like another one from there.
    """
    try:
        if os.stat("/proc/self/ns/time").st_ino != _FIRST_TIME_NAMESPACE:
            return None
    except FileNotFoundError:
        pass  # a kernel without time namespaces
    except OSError:
        return None
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            # The second field is the program's name in brackets, which may hold anything.
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[_START_TIME_FIELD - 3])
    except (OSError, ValueError, IndexError):
        return None
