"""What a mount of known speed has on the machine, and that it all goes, however it ends."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.bed import undertaker

MEMORY: Final = Path("/dev/shm")


class MountError(RuntimeError):
    """A mount could not be made; the message says what failed and why."""


class Estate:
    """A directory in memory with whatever is made in it. Written down before it is made, so it
    goes with this process too, however that ends."""

    def __init__(self, prefix: str) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=memory()))
        self._mine = undertaker.Estate()
        self._undertaker = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(undertaker.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.own("directory", self.directory)

    def own(self, kind: str, name: str | Path) -> None:
        line = f"{kind} {name}"
        self._mine.add(line)
        assert self._undertaker.stdin is not None
        self._undertaker.stdin.write(f"{line}\n".encode())
        self._undertaker.stdin.flush()

    def own_process(self, process: subprocess.Popen[bytes]) -> None:
        self.own("process", f"{process.pid} {undertaker.start_of(process.pid)}")

    def bury(self) -> None:
        """``MountError`` names what would not go."""
        left = self._mine.bury()
        if left:
            raise MountError("left behind: " + ", ".join(left))
        self._undertaker.communicate(b"done\n", 10.0)


def memory() -> Path | None:
    """Where files lie in memory; None (the usual place) where there is no such place."""
    return MEMORY if MEMORY.is_dir() else None


class Mounted:
    """``with`` block around a mount; ``path`` is where it is."""

    path: Path

    def start(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
