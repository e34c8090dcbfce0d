"""Memory at a set speed beyond what FUSE or a loop device can do: 10 GB/s."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

from tests.bed.network import BedError, program, run

from .estate import Estate, Mounted, MountError

PACING: Final = Path(__file__).parent / "pacing"
CREDIT_SECONDS: Final = 0.004
"""Longer than a sleep overshoots, shorter than any sample."""


def missing_tmpfs() -> str | None:
    """Why there can be no such mount here and what to do about it; None when there can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "not root on Linux: run it with sudo, or in a container with --privileged"
    return None


class PacedMemory(Mounted):
    """``with PacedMemory(10e9) as memory:`` a tmpfs of its own.

    Python programs that are started with ``environment`` read and write it (``os.preadv`` and its
    like) at that speed, together. Limit: mappings and other programs see bare memory, and a
    machine that is slower than the set speed stays slower.
    """

    def __init__(self, bytes_per_second: float, size_bytes: int = 3 << 30) -> None:
        self._estate = Estate("vlpaced")
        self._rate = bytes_per_second
        self._size = size_bytes
        self.path = self._estate.directory / "mount"

    def start(self) -> None:
        self.path.mkdir()
        self._estate.own("mount", self.path)
        options = f"size={self._size},mode=755"
        try:
            run([program("mount"), "-t", "tmpfs", "-o", options, "vlpaced", str(self.path)])
        except BedError as error:
            raise MountError(str(error)) from error
        self._clock.write_bytes(bytes(4096))

    @property
    def _clock(self) -> Path:
        return self._estate.directory / "clock"

    @property
    def environment(self) -> dict[str, str]:
        """For the processes that are to be paced."""
        pace = {
            "clock": str(self._clock),
            "device": os.stat(self.path).st_dev,
            "rate": self._rate,
            "credit": self._rate * CREDIT_SECONDS,
        }
        path = os.pathsep.join(filter(None, [str(PACING), os.environ.get("PYTHONPATH", "")]))
        return {**os.environ, "PYTHONPATH": path, "VLPACE": json.dumps(pace)}

    def close(self) -> None:
        self._estate.bury()
