"""Taking turns across processes: an advisory lock that lets contending committers commit one
after the other, so that N of them cost N misses and not N * N. Not safety: who goes without it
only costs retries."""

from __future__ import annotations

import threading
from typing import Final

from .daemons import started
from .lockfile import BELL_SEATS, TURNSTILE_BYTE, TURNSTILE_SEATS, LockFile

_IDLE: Final = "idle"
_WANTED: Final = "wanted"
_ABANDONED: Final = "abandoned"
_HELD: Final = "held"
_LEAVING: Final = "leaving"


class Turnstile:
    """One committer's way through. A turn, as ``effects.Turn``, for one thread at a time.

    A helper thread blocks for the lock, because nothing can interrupt that: who waited in vain
    leaves it waiting (its place in the queue is kept), and until it comes through, the turnstile
    counts as closed without anybody asking.
    """

    def __init__(self, file: LockFile) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._state = _IDLE
        self._started = False
        self._broken = False
        self._work = threading.Semaphore(0)
        self._through = threading.Event()

    def free(self) -> bool:
        """Never without asking the volume, which this must not."""
        return False

    def enter(self, seconds: float) -> bool:
        with self._lock:
            if self._broken or not self._file.ready:
                return False
            waited_in_vain = self._state == _ABANDONED
            if self._state != _IDLE and not (waited_in_vain and seconds > 0):
                return False
            self._through.clear()
            self._state = _WANTED
        if not waited_in_vain:
            if self._take_at_once() or seconds <= 0:
                return self._settle(_IDLE)
            self._help()
        self._through.wait(seconds)
        return self._settle(_ABANDONED)

    def leave(self) -> None:
        """Never blocks: the helper lets go. Who does not have it any more, or not yet, only stops
        wanting it."""
        with self._lock:
            if self._state == _WANTED:
                self._state = _ABANDONED
            if self._state != _HELD:
                return
            self._state = _LEAVING
        self._help()

    def _take_at_once(self) -> bool:
        try:
            had = self._file.take(TURNSTILE_BYTE)
        except OSError:  # no locks here: nobody takes turns
            had, self._broken = False, True
        if had:
            self._become(_HELD)
        return had or self._broken

    def _settle(self, otherwise: str) -> bool:
        with self._lock:
            if self._state == _WANTED:
                self._state = otherwise
            return self._state == _HELD

    def _become(self, state: str) -> None:
        with self._lock:
            self._state = state

    def _help(self) -> None:
        if not self._started:
            self._started = started("volumelease-turn", self._serve)
        self._work.release()

    def _serve(self) -> None:
        while True:
            self._work.acquire()
            try:
                self._serve_once()
            except OSError:
                self._broken = True
                self._become(_IDLE)
                self._through.set()

    def _serve_once(self) -> None:
        """Wait for it, or let go of it."""
        if self._state != _LEAVING:
            seat = self._file.sit_down(BELL_SEATS, TURNSTILE_SEATS)
            if seat is None:  # enough of this host wait already
                self._become(_IDLE)
                self._through.set()
                return
            try:
                self._file.await_turn(TURNSTILE_BYTE)
            finally:
                self._file.get_up(seat)
            with self._lock:
                wanted = self._state == _WANTED
                self._state = _HELD if wanted else _LEAVING
            self._through.set()
            if wanted:
                return
        self._file.drop(TURNSTILE_BYTE)
        self._become(_IDLE)
