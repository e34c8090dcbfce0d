"""One look at the volume for all who ask at about the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from volumelease.errors import AuthorityUnreachable

T = TypeVar("T")


class Fresh(Generic[T]):
    """What ``look`` returned at most ``seconds`` ago. Thread-safe: one looks and the others wait
    for it, so ten open pages cost what one does. Errors: those of ``look``;
    ``AuthorityUnreachable`` for who waited too long for somebody else's look."""

    def __init__(self, look: Callable[[], T], seconds: float, patience: float = 12.0) -> None:
        self._look = look
        self._seconds = seconds
        self._patience = patience
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._found: T | None = None

    def __call__(self) -> T:
        if not self._lock.acquire(timeout=self._patience):
            raise AuthorityUnreachable(
                f"the volume did not answer in {self._patience:g} s",
                root=None,
                seconds=self._patience,
            )
        try:
            if self._found is None or time.monotonic() - self._at >= self._seconds:
                self._found = self._look()
                self._at = time.monotonic()
            return self._found
        finally:
            self._lock.release()
