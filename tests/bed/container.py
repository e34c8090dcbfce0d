"""A command in a pid namespace of its own, as a second container on the same host would run it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .network import BedError, BedHost, program


def in_container(argv: Sequence[str], *, host: BedHost | None = None) -> list[str]:
    """``argv`` prefixed so that it is PID 1 of a new pid namespace, with a /proc of its own.

    It sees the mounts that exist now, and with ``host`` has that host's network, else this
    process's. Limit: the boot id, the clock and the files are this machine's.
    """
    options = ("--pid", "--fork", "--mount-proc", "--kill-child")
    prefixed = [program("unshare"), *options, "--", *argv]
    return host.command(prefixed) if host else prefixed


class Container:
    """``with Container(argv, host=a) as container:`` the command runs; at the end it is killed.

    ``process`` is the ``unshare`` around it, with pipes for stdin and stdout (text). Limits:
    signals for the command go to ``pid``, ``unshare`` ignores them; and PID 1 hears only signals
    that it handles, and SIGKILL.
    """

    def __init__(self, argv: Sequence[str], *, host: BedHost | None = None) -> None:
        self.process = subprocess.Popen(
            in_container(argv, host=host),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The command's pid as seen from outside; inside it is 1. ``BedError`` once it ended."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + 5.0
        while time.monotonic() < deadline and self.process.poll() is None:
            if pids := children.read_text().split():
                return int(pids[0])
            time.sleep(0.005)
        raise BedError(f"the container has ended or did not start: {self.process.poll()}")

    def kill(self) -> None:
        """SIGKILL to PID 1 and so to every process inside; back when all of them are gone.

        Limit: a process that hangs in a mount goes only when the mount answers again.
        """
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
