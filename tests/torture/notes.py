"""What a process under torture writes down: one JSON object a line, on the machine's own disk.

Each line is one write that has happened when the call returns, so that kill -9 loses none. Times
are those of CLOCK_BOOTTIME, which all hosts of a test bed share: nobody under torture compares
them, only the judge does.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Note = dict[str, Any]
"""One line: ``at``, ``kind``, and what belongs to it."""


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Notes:
    """The notes of one process. Thread-safe."""

    def __init__(self, path: Path | None) -> None:
        """``path`` None: nothing is written down."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self.last = 0.0
        """When it last wrote something."""
        self._file = -1 if path is None else os.open(path, flags, 0o644)

    def note(self, kind: str, /, at: float | None = None, **facts: Any) -> None:
        """``at``: when it was so, if that is not this moment."""
        if self._file < 0:
            return
        self.last = now()
        line = {"at": self.last if at is None else at, "kind": kind, **facts}
        os.write(self._file, json.dumps(line).encode() + b"\n")


class Signs:
    """Files by which the one who runs a torture tells everybody something."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def give(self, name: str) -> None:
        (self._folder / f"sign-{name}").touch()

    def given(self, name: str) -> bool:
        return os.path.exists(self._folder / f"sign-{name}")

    def count(self, name: str) -> int:
        """How often ``add`` was called."""
        try:
            return os.stat(self._folder / f"count-{name}").st_size
        except FileNotFoundError:
            return 0

    def add(self, name: str) -> None:
        with open(self._folder / f"count-{name}", "ab") as file:
            file.write(b"+")


def read(path: Path) -> Iterator[Note]:
    """What was written down there; a line that a full disk cut off is left out."""
    with open(path) as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
