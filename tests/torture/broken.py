"""Products that are broken on purpose, to see that a torture finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


def ignores_its_deadline() -> None:
    """A lease that is believed in however long no beat was answered."""
    from volumelease import Lease

    setattr(Lease, "lost", property(lambda lease: False))  # noqa: B010 - this is what is broken


BREAKS: Final[dict[str, Callable[[], None]]] = {"deadline": ignores_its_deadline}
