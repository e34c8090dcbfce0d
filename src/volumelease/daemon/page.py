"""The daemon's side of the page of deadlines (``wire.slots``)."""

from __future__ import annotations

import mmap
import os
import threading
import time
from typing import Final

from volumelease.wire import slots

from .doorway import fresh_file

REST_SECONDS: Final = 3600.0
"""A slot is used again so long after it was last written."""


class Page:
    """The page of one socket, in a file beside it that outlives the daemon: a successor finds in
    it until when this daemon's clients believe in their leases."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._lost: set[int] = set()
        if not self._map():
            fresh = f"{path}.new"
            with open(fresh, "wb", opener=fresh_file) as file:
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
        """A slot that nobody looks at any more, for a session of this daemon: with a tag of its
        own. Errors: ``OSError`` when there is none."""
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        with self._lock:
            for slot in range(slots.SLOTS):
                used = slots.decode_seconds(self._read(slots.used_at(slot)))
                if not self.tag(slot) or abs(now - used) > REST_SECONDS:
                    self._lost.discard(slot)
                    self._write(slots.begins_at(slot), slots.encode_seconds(slots.LOST))
                    self._write(slots.tag_at(slot), slots.encode_count(_fresh_tag()))
                    self._write(slots.alarms_at(slot), slots.encode_count(0))
                    self._write(slots.used_at(slot), slots.encode_seconds(now))
                    return slot
        raise OSError(f"more than {slots.SLOTS} sessions in an hour")

    def tag(self, slot: int) -> int:
        """Whose the slot is."""
        return slots.decode_count(self._read(slots.tag_at(slot)))

    def deadline(self, slot: int) -> float:
        return slots.decode_seconds(self._read(slots.begins_at(slot)))

    def show(self, slot: int, deadline: float) -> None:
        """Boottime seconds. What is lost stays lost, whoever comes late with a deadline."""
        with self._lock:
            if slot not in self._lost:
                self._write(slots.begins_at(slot), slots.encode_seconds(deadline))
                self._note_use(slot)

    def lose(self, slot: int) -> None:
        """The session is lost, for good."""
        with self._lock:
            self._lost.add(slot)
            self._write(slots.begins_at(slot), slots.encode_seconds(slots.LOST))
            self._note_use(slot)

    def alarm(self, slot: int) -> None:
        """A lease was lost and its session lives: clients are to ask."""
        with self._lock:
            at = slots.alarms_at(slot)
            self._write(at, slots.encode_count(slots.decode_count(self._read(at)) + 1))

    def _note_use(self, slot: int) -> None:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._write(slots.used_at(slot), slots.encode_seconds(now))

    def _read(self, at: int) -> bytes:
        return self._memory[at : at + 8]

    def _write(self, at: int, word: bytes) -> None:
        self._memory[at : at + 8] = word


def _fresh_tag() -> int:
    return int.from_bytes(os.urandom(6), "big") + 1
