"""Local writes, as they happen: inotify, by watchdog's reader of it.

Its observer would watch a tree by itself, but not what other hosts create in it: inotify says
nothing of that. So the scanner says which directories there are, and each gets a watch of its own.
Two failures that are silent elsewhere are told here: events that the kernel dropped, and
directories without a watch (the kernel's limit).
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from .events import Event

_MASK: Final = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MODIFY  # truncate(2) opens nothing, so nothing is closed after it
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
)


class Notifier:
    """Calls ``heard`` with each local write in a watched directory, and ``overflowed`` when events
    were lost, in a thread of its own. Errors, when it is made: ``OSError`` where there is no
    inotify to be had (the limit of instances)."""

    def __init__(
        self, heard: Callable[[Event], None], overflowed: Callable[[], None], ignore: str
    ) -> None:
        self._heard = heard
        self._overflowed = overflowed
        self._ignore = ignore
        self._paths: dict[WatchDescriptor, tuple[str, CallbackId]] = {}
        self._since: dict[str, float] = {}
        self._numbers = 0
        self._lock = threading.Lock()
        self._reader = InotifyFD()
        self._reader.start()

    @property
    def watches(self) -> int:
        """How many directories are watched."""
        return len(self._since)

    def since(self, path: str) -> float:
        """Since when that directory is watched (monotonic); infinity: it is not."""
        return self._since.get(path, float("inf"))

    def watch(self, directories: Iterable[str]) -> None:
        """Watch those that are not watched yet, as far as the kernel lets us."""
        for path in directories:
            if path not in self._since and not self._add(path):
                return

    def close(self) -> None:
        self._reader.stop()

    def _add(self, path: str) -> bool:
        with self._lock:  # no event before it is known whose it is
            self._numbers += 1
            number = CallbackId(self._numbers)
            try:
                wd = self._reader.add_callback(os.fsencode(path), _MASK, self, number)
            except OSError as error:
                return error.errno not in (errno.ENOSPC, errno.EMFILE, errno.ENOMEM)
            before = self._paths.get(wd)
            if before is not None:  # the same directory under another name
                self._since.pop(before[0], None)
                self._reader.remove_callbacks([(wd, before[1])])
            self._paths[wd] = (path, number)
            self._since[path] = time.monotonic()
        return True

    def _forget_below(self, path: str) -> None:
        """A directory was moved: what is watched by its old name is found anew by its new one."""
        with self._lock:
            gone = [
                (wd, number)
                for wd, (known, number) in self._paths.items()
                if known == path or known.startswith(path + "/")
            ]
            for wd, _ in gone:
                self._since.pop(self._paths.pop(wd)[0], None)
        with suppress(OSError):
            self._reader.remove_callbacks(gone)

    # ---- what the reader calls

    def on_event(self, event: InotifyEvent) -> None:
        with self._lock:
            known = self._paths.get(event.wd)
        if known is None:
            return
        if event.is_move_self:
            self._forget_below(known[0])
            return
        what = _what(event)
        if not what or not event.name:
            return
        path = f"{known[0]}/{os.fsdecode(event.name)}"
        if not path.startswith(self._ignore):
            self._heard(Event(path, what, event.is_directory, time.monotonic()))

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        with self._lock:
            known = self._paths.pop(wd, None)
            if known is not None:
                self._since.pop(known[0], None)

    def on_queue_overflow(self) -> None:
        self._overflowed()


def _what(event: InotifyEvent) -> str:
    if event.is_create:
        return "created"
    if event.is_delete:
        return "deleted"
    if event.is_moved_from or event.is_moved_to:
        return "moved"
    return "changed" if event.is_close_write or event.is_modify else ""
