"""Who is told what a replica reads."""

from __future__ import annotations

from typing import Protocol

from volumelease.core.records import Entry
from volumelease.core.table import Outcome


class Listener(Protocol):
    """Who is told what a replica learns; called between two effects, must not block."""

    def entry_applied(self, index: int, entry: Entry, outcome: Outcome) -> None: ...

    def table_loaded(self) -> None:
        """The table was replaced by another one: entries in between were never seen."""


class Nobody:
    """For a replica whose table is all that is wanted."""

    def entry_applied(self, index: int, entry: Entry, outcome: Outcome) -> None: ...

    def table_loaded(self) -> None: ...
