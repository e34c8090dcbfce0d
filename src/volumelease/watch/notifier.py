"""Local writes, as they happen: inotify, by watchdog.

watchdog keeps silent about two failures, and here both are told: an event queue that overflowed
(it only logs it), and directories that got no watch (the kernel's limit): the kernel itself is
asked which inodes it watches for this process.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from .events import Event

_KINDS: Final[dict[type[FileSystemEvent], str]] = {
    FileCreatedEvent: "created",
    FileClosedEvent: "changed",
    FileModifiedEvent: "changed",  # truncate(2) opens nothing, so nothing is closed after it
    FileDeletedEvent: "deleted",
    FileMovedEvent: "moved",
    DirCreatedEvent: "created",
    DirDeletedEvent: "deleted",
    DirMovedEvent: "moved",
}


class Notifier:
    """Watches ``roots`` (absolute) and calls ``heard`` in a thread of its own. ``overflowed`` is
    called when events were lost. Errors, of ``start``: ``OSError`` when no inotify is to be had."""

    def __init__(
        self, heard: Callable[[Event], None], overflowed: Callable[[], None], ignore: str
    ) -> None:
        self._heard = heard
        self._ignore = ignore
        self._observer: Any = Observer(timeout=0.5)
        self._log = _Overflows(overflowed)
        self._watched: dict[str, int] = {}

    def start(self) -> None:
        logging.getLogger("watchdog").addHandler(self._log)
        self._observer.start()

    def watch(self, root: str) -> bool:
        """Watch that directory and all below it. Returns False where it can't (yet)."""
        try:
            inode = os.lstat(root).st_ino
        except OSError:
            self.forget(root)
            return False
        if self._watched.get(root) == inode:
            return True
        self.forget(root)
        handler = _Handler(self._heard, self._ignore)
        try:
            self._observer.schedule(handler, root, recursive=True, event_filter=list(_KINDS))
        except OSError:
            return False
        self._watched[root] = inode
        return True

    def forget(self, root: str) -> None:
        """It is gone, or was replaced by another directory: its watch sees nothing any more."""
        if self._watched.pop(root, None) is None:
            return
        for watch in [w for w in self._observer._watches if w.path == root]:
            with suppress(KeyError, OSError):
                self._observer.unschedule(watch)

    def close(self) -> None:
        logging.getLogger("watchdog").removeHandler(self._log)
        self._observer.stop()


class _Handler(FileSystemEventHandler):
    def __init__(self, heard: Callable[[Event], None], ignore: str) -> None:
        self._heard = heard
        self._ignore = ignore

    def on_any_event(self, event: FileSystemEvent) -> None:
        what = _KINDS.get(type(event))
        if what is None:
            return
        now = time.monotonic()
        for path in (event.src_path, event.dest_path):
            text = os.fsdecode(path)
            if text and not text.startswith(self._ignore):
                self._heard(Event(text, what, event.is_directory, now))


class _Overflows(logging.Handler):
    """What watchdog says of a lost event, it says in its log alone."""

    def __init__(self, overflowed: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._overflowed = overflowed

    def emit(self, record: logging.LogRecord) -> None:
        if "queue overflow" in record.getMessage() and "reconciling" not in record.getMessage():
            self._overflowed()
