"""Whether the locks of a mount leave this host at all: a bell of locks wakes nobody elsewhere if
they don't, and whoever relies on them is alone without knowing it."""

from __future__ import annotations

import fcntl
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final, NamedTuple

SAMPLES: Final = 40
MUCH_CHEAPER: Final = 4
"""A lock that a server grants costs about what a symlink there costs; one that the kernel grants,
a microsecond. Who takes a quarter of a symlink has asked nobody."""

_TRY_TO_LOCK: Final = """\
import fcntl, sys
file = open(sys.argv[1], "r+b")
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    sys.exit(11)
"""


class Locks(NamedTuple):
    """What POSIX locks do on one mount. ``excludes``: another process of this host.
    ``local_only``: the mount is shared with other hosts, and they see nothing of a lock.
    Medians in seconds of lock and unlock, and of a symlink; ``trouble``: why there are none."""

    excludes: bool = False
    local_only: bool = False
    lock_seconds: float = 0.0
    symlink_seconds: float = 0.0
    trouble: str = ""


def locks_in(directory: str, *, shared: bool) -> Locks:
    """Try them out in an own directory on the mount; ``shared`` as in its ``Verdict``.

    Limit: from one host, so it is their price that tells: on a server that answers symlinks as
    fast as this kernel answers locks it can't be told. Errors: ``OSError`` of making files there.
    """
    path = f"{directory}/locks"
    with open(path, "xb") as file:

        def lock_once(number: int) -> None:
            fcntl.lockf(file, fcntl.LOCK_EX)
            fcntl.lockf(file, fcntl.LOCK_UN)

        try:
            lock = p50(lock_once)
            fcntl.lockf(file, fcntl.LOCK_EX)
        except OSError as error:
            return Locks(trouble=str(error))
        command = [sys.executable, "-I", "-S", "-c", _TRY_TO_LOCK, path]
        excludes = subprocess.run(command, timeout=20, check=False).returncode == 11
    symlink = symlink_cost(directory)
    local_only = excludes and shared and lock * MUCH_CHEAPER < symlink
    return Locks(excludes, local_only, lock, symlink)


def symlink_cost(directory: str) -> float:
    """The median of making a symlink there, in seconds: what an entry of the log costs."""
    name = os.urandom(4).hex()
    return p50(lambda number: os.symlink("x" * 200, f"{directory}/{name}-{number}"))


def p50(work: Callable[[int], object]) -> float:
    """The median of ``SAMPLES`` calls, in seconds."""
    times = []
    for number in range(SAMPLES):
        started = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - started)
    return statistics.median(times)
