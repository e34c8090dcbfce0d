"""A call made by another process: a thread that hangs in a cut mount can't be given up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .network import BedError

_PROGRAM: Final = """\
import errno, fcntl, os, sys
exec(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
try:
    exec(sys.argv[1])
    print("ok", flush=True)
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
"""


class Call:
    """``with Call("os.symlink('record', '0')", directory=mount) as call:``, then ``call.go()``.

    The process stands in ``directory`` and has run ``setup`` when this returns, so that the link
    can be broken between that and the call. ``os`` and ``fcntl`` are imported.

    Limit: the end of the block kills the process and waits for it; one that hangs in a mount goes
    when the mount is healed, so heal inside the block.
    """

    def __init__(self, statement: str, *, directory: Path, setup: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, statement, setup],
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._said = ""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self._end()
            raise BedError(f"setup failed: {setup}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def go(self) -> Self:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self

    def outcome(self, seconds: float) -> str | None:
        """``"ok"`` or the errno's name; None when the call has not returned after ``seconds``."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        assert self._process.stdout is not None
        self._said += self._process.stdout.read()
        return self._said.strip()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
