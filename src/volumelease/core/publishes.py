"""Which decided publishes have to be made visible before what.

A publish is decided by its record and made visible by one rename, which anybody can do and do
again: its source exists once. What comes later must find it done, or an old rename would land on
top of what a successor wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .conflicts import overlaps
from .table import Pending


def due(pending: Mapping[int, Pending], keys: Iterable[str]) -> list[Pending]:
    """The unapplied publishes that overlap ``keys``, and those before them that overlap these, and
    so on; in the order of the log, in which they are to be applied."""
    wanted = list(keys)
    found: list[Pending] = []
    for index in sorted(pending, reverse=True):
        one = pending[index]
        if any(overlaps(one.target.key, key) for key in wanted):
            wanted.append(one.target.key)
            found.append(one)
    return found[::-1]
