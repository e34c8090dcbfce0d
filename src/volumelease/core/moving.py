"""When the leases of a log may move to another authority."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .table import Table


def movable(table: Table, session: str) -> bool:
    """Whether that session may move them: nobody else holds anything, and nothing that was
    published is left to be made visible."""
    return not table.pending and any(
        held.session == session
        and held.granted
        and held.exclusive
        and not held.breaking
        and "" in held.keys
        for held in table.holdings.values()
    )
