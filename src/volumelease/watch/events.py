"""What is heard of local writes."""

from __future__ import annotations

from typing import Final, NamedTuple

MOST_QUEUED: Final = 200_000
"""Events that wait to be looked at; beyond that they count as overflowed."""


class Event(NamedTuple):
    """Something happened at ``path`` (absolute) on this host at about ``at`` (monotonic)."""

    path: str
    what: str
    directory: bool
    at: float
