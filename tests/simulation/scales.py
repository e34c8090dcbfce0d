"""Smaller constants, so that a short run sees many segments.

The product imports its constants by name, so each module that has one has its own copy: all of
them are replaced together, or one worker's arithmetic would differ from itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Imported so that every copy of a constant exists before it is looked for.
from volumelease.authorities.volume import session as _session

from .volume import JOURNAL_SECONDS

assert _session is not None


def copies(name: str) -> list[Any]:
    """Every module of the product that holds the constant."""
    found = [
        module
        for path, module in sorted(sys.modules.items())
        if path.startswith("volumelease.") and hasattr(module, name)
    ]
    assert found, f"nothing in volumelease is called {name}"
    return found


@contextmanager
def replaced(**values: float) -> Iterator[None]:
    """Run with other values of the product's constants."""
    saved = [(module, name, getattr(module, name)) for name in values for module in copies(name)]
    try:
        for module, name, _ in saved:
            setattr(module, name, values[name])
        yield
    finally:
        for module, name, value in saved:
            setattr(module, name, value)


@contextmanager
def small_segments(entries: int) -> Iterator[None]:
    """Segments of ``entries`` places, the last quarter of them for closing; slower polling, which
    is most of what a calm fleet does; and a master that forgets no more than the simulated one."""
    with replaced(
        SEGMENT_ENTRIES=entries,
        CLOSING_ENTRIES=entries - max(4, entries // 4),
        RESERVE_ENTRIES=6,
        READ_IN_A_ROW=2,
        LEAST_AHEAD=2,
        POLL_SECONDS=0.2,
        FORGET_SECONDS=1.1 * JOURNAL_SECONDS,
    ):
        yield
