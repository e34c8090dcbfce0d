"""Threads of the bells: nobody waits for them, and nobody needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def started(name: str, work: Callable[..., None], *arguments: Any) -> bool:
    """Start a daemon thread. False where none can be had (limits; an interpreter that is ending):
    then there is one courtesy less, and nothing else may fail for it."""
    try:
        threading.Thread(target=work, args=arguments, name=name, daemon=True).start()
    except (RuntimeError, MemoryError):
        return False
    return True
