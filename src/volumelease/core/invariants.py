"""What must be true of every table, whatever its log said.

``Table.apply`` keeps all of it, so a breach means that a table came from elsewhere: from a
snapshot that somebody wrote, or from a bug.
"""

from __future__ import annotations

from .table import Holding, Table


def breaches(table: Table, next_index: int) -> list[str]:
    """What is wrong with a table as of ``next_index``, one line each; nothing if all is well."""
    found = []
    for token, holding in sorted(table.holdings.items()):
        if holding.session not in table.sessions:
            found.append(
                f"token {token} belongs to session {holding.session}, which the table does not know"
            )
        if token >= next_index:
            found.append(f"token {token} was not given out yet")
        trouble = _standing(table, holding)
        if trouble:
            found.append(f"token {token} {trouble}")
    found += [
        f"the publish of entry {publish} was not decided yet"
        for publish in sorted(table.pending)
        if publish >= next_index
    ]
    return found


def _standing(table: Table, holding: Holding) -> str:
    blockers = [other.token for other in table.blockers(holding)]
    if holding.granted:
        if table.grace:
            return "was granted in the grace of a new log"
        return f"was granted although token {blockers[0]} conflicts with it" if blockers else ""
    if holding.breaking:
        return "is being broken and was never granted"
    return "" if blockers or table.grace else "waits with nothing in its way"
