"""When a run may be interrupted: while it measures, and not while it makes its directory or
removes it. Whoever is asked by a signal calls ``interrupt``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .problems import Interrupted


class _Moment:
    held = False
    asked = False


def interrupt() -> None:
    """Raise ``Interrupted``: here, or where the run may next be interrupted. For a handler of
    signals, which runs in the main thread as runs do."""
    if not _Moment.held:
        raise Interrupted
    _Moment.asked = True


@contextmanager
def held_back(*, to_the_end: bool = False) -> Iterator[None]:
    """A block that ``interrupt`` does not end. ``to_the_end``: nothing comes after it that could
    be interrupted, so what was asked meanwhile is forgotten.

    Errors: ``Interrupted`` at its end, when that was asked within it. Limit: a
    ``KeyboardInterrupt`` of Python's own handler is not held back.
    """
    before = _Moment.held
    _Moment.held = True
    try:
        yield
    finally:
        _Moment.held = before
        if not before and _Moment.asked:
            _Moment.asked = False
            if not to_the_end:
                raise Interrupted


@contextmanager
def let_through() -> Iterator[None]:
    """A part of such a block that may be interrupted. Errors: ``Interrupted``, at once when that
    was asked before."""
    before = _Moment.held
    try:
        _Moment.held = False
        if _Moment.asked:
            _Moment.asked = False
            raise Interrupted
        yield
    finally:
        _Moment.held = before
