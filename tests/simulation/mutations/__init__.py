"""How each rule is switched off: functions that name what to replace with what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Mutation = Callable[[], list[tuple[Any, str, Any]]]
"""What to replace: (owner, attribute, replacement)."""


class Mutant(NamedTuple):
    """One rule switched off. ``troubles`` are those that make it matter, ``budget`` is how many
    runs may be needed to find it; instead of runs, ``duels`` of one holder and one observer.
    ``rare``: found in minutes, not in seconds."""

    name: str
    rule: str
    mutation: Mutation
    troubles: tuple[str, ...]
    budget: int = 60
    duels: int = 0
    busy: bool = False
    workers: int | None = None
    rare: bool = False
    daemons: bool = False
    containers: bool = False
    moves: bool = False
    authority: str = "volume"
