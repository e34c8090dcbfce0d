"""The daemon's side of the page of deadlines (``wire.slots``)."""

from __future__ import annotations

import mmap
import os
import time
from typing import Final

from volumelease.wire import slots

REST_SECONDS: Final = 3600.0
"""A slot is used again so long after its last deadline: whoever was told of it has read that."""


class Page:
    """The page of one socket, in a file beside it that outlives the daemon: a successor finds in
    it until when this daemon's clients believe in their leases."""

    def __init__(self, path: str) -> None:
        self.path = path
        if not self._map():
            fresh = f"{path}.new"
            with open(fresh, "wb", opener=_private) as file:
                file.write(slots.MAGIC.ljust(slots.PAGE_BYTES, b"\0"))
            os.replace(fresh, path)
            if not self._map():
                raise OSError(f"{path} can't be used as the page of deadlines")

    def _map(self) -> bool:
        try:
            with open(self.path, "r+b") as file:
                if os.fstat(file.fileno()).st_size != slots.PAGE_BYTES:
                    return False
                self._memory = mmap.mmap(file.fileno(), slots.PAGE_BYTES)
        except (OSError, ValueError):
            return False
        return self._memory[: len(slots.MAGIC)] == slots.MAGIC

    def free_slot(self) -> int:
        """A slot that nobody looks at any more. Errors: ``OSError`` when there is none."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        for slot in range(slots.SLOTS):
            deadline = self.deadline(slot)
            if deadline == 0 or not -REST_SECONDS < now - deadline < REST_SECONDS:
                self.show(slot, now)
                self._write(slots.alarms_at(slot), slots.encode_count(0))
                return slot
        raise OSError(f"more than {slots.SLOTS} sessions in an hour")

    def deadline(self, slot: int) -> float:
        at = slots.begins_at(slot)
        return slots.decode_seconds(self._memory[at : at + 8])

    def show(self, slot: int, deadline: float) -> None:
        """Boottime seconds; 0: the session is lost."""
        self._write(slots.begins_at(slot), slots.encode_seconds(deadline))

    def alarm(self, slot: int) -> None:
        """A lease was lost and its session lives: clients are to ask."""
        at = slots.alarms_at(slot)
        count = slots.decode_count(self._memory[at : at + 8])
        self._write(at, slots.encode_count(count + 1))

    def _write(self, at: int, word: bytes) -> None:
        self._memory[at : at + 8] = word


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
