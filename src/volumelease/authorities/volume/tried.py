"""Which of a session's own drafts are not its own any more: their publish was tried."""

from __future__ import annotations

from typing import Final

MOST: Final = 10_000
"""So many are remembered. A draft is discarded, if at all, right after its publish ended; the
oldest of ten thousand ended long ago."""


class Tried:
    """Drafts whose publish is, or may yet be, decided. Whatever error their writer saw, they may
    be public, or become it: a call that was interrupted can land later."""

    __slots__ = ("_drafts",)

    def __init__(self) -> None:
        self._drafts: dict[str, None] = {}  # oldest first

    def __contains__(self, draft: str) -> bool:
        return draft in self._drafts

    def add(self, draft: str) -> None:
        self._drafts[draft] = None
        if len(self._drafts) > MOST:
            del self._drafts[next(iter(self._drafts))]

    def discard(self, draft: str) -> None:
        """It is known that nothing came of it, and nothing will."""
        self._drafts.pop(draft, None)
