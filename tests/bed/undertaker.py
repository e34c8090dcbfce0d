"""Clears away what a bed leaves on the machine, also when its process died without a word.

Run as a program it reads one thing a line from stdin (``namespace NAME``, ``mount PATH``,
``directory PATH``), each written BEFORE the thing is made, and ``process PID START`` after it.
``done`` ends it; the end of stdin without ``done`` means that the process of the bed is gone, and
everything named is cleared away. Nothing is found by a process name: processes are those inside
the named namespaces, and those named with their start time.

Limit: a child that the bed's process forked (without exec) keeps stdin open, so the clearing waits
for that child too.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

NAMESPACES: Final = Path("/run/netns")
MNT_DETACH: Final = 2  # umount2(2): detach now, clean up when the last user lets go
UMOUNT_NOFOLLOW: Final = 8
PATIENCE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    point: str
    fstype: str
    source: str


def mounts() -> list[Mount]:
    """Every mount this process sees, in the order they were made. Source: proc(5)."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        fstype, source = after.split(" ")[:2]
        found.append(Mount(_unescape(before.split(" ")[4]), fstype, _unescape(source)))
    return found


def _unescape(text: str) -> str:
    for octal in ("\\040", "\\011", "\\012", "\\043", "\\134"):  # the backslash comes last
        text = text.replace(octal, chr(int(octal[1:], 8)))
    return text


@dataclass(frozen=True, slots=True)
class Estate:
    """What one bed has on the machine."""

    namespaces: list[str] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)
    """Of a pid and its start time, as proc(5) tells it: a pid may change hands."""

    def add(self, line: str) -> None:
        kind, _, name = line.partition(" ")
        plurals = {"directory": "directories", "process": "processes"}
        getattr(self, plurals.get(kind, kind + "s")).append(name)

    def bury(self) -> list[str]:
        """Clear everything away; what could not be cleared is returned, one line each.

        Processes first: a mount whose daemon is dead answers every call that hangs in it with
        ENOTCONN, so that nothing after it can hang.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (alive := self.kill()) and time.monotonic() < deadline:
            time.sleep(0.01)
        left = [f"process {pid}" for pid in alive]
        for point in self.mounts:
            _unmount(point)
            if any(mount.point == point for mount in mounts()):
                left.append(f"mount {point}")
        for name in self.namespaces:
            _unmount(str(NAMESPACES / name))
            (NAMESPACES / name).unlink(missing_ok=True)
        return left + [f"directory {path}" for path in self.directories if not _remove(path)]

    def kill(self) -> list[int]:
        """Send SIGKILL to the named processes and all inside the namespaces; their pids."""
        inside = {_identity(NAMESPACES / name) for name in self.namespaces} - {None}
        named = [int(one.split()[0]) for one in self.processes if _kill_that(one)]
        return named + [pid for pid in _pids() if inside and _kill_inside(pid, inside)]


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _kill_inside(pid: int, inside: set[tuple[int, int] | None]) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # Looked up after the pidfd was opened: a pid that changed hands in between is not killed.
        if _identity(Path(f"/proc/{pid}/ns/net")) not in inside:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def start_of(pid: int) -> str:
    """When that process started; "" when there is none, or only what is left of one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _kill_that(process: str) -> bool:
    pid, _, start = process.partition(" ")
    try:
        handle = os.pidfd_open(int(pid))
    except OSError:
        return False
    try:
        if start_of(int(pid)) != start:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _unmount(point: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    while any(mount.point == point for mount in mounts()):
        if libc.umount2(os.fsencode(point), MNT_DETACH | UMOUNT_NOFOLLOW) != 0:
            return


def _remove(path: str) -> bool:
    # A volume still mounted beneath would be emptied through its mount point.
    if any(mount.point.startswith(path + "/") for mount in mounts()):
        return False
    shutil.rmtree(path, ignore_errors=True)
    return not os.path.lexists(path)


def main() -> int:
    estate = Estate()
    for line in sys.stdin:
        if line == "done\n":
            return 0
        estate.add(line.rstrip("\n"))
    return 1 if estate.bury() else 0


if __name__ == "__main__":
    sys.exit(main())
