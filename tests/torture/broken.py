"""Products that are broken on purpose, to see that a torture finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


def ignores_its_deadline() -> None:
    """A session that believes in what it holds however long no beat was answered."""
    from volumelease.clock import Reading
    from volumelease.core.liveness import Pulse

    def alive(pulse: Pulse, now: Reading) -> bool:
        del now
        return not pulse.lost

    def answered(pulse: Pulse, now: Reading) -> bool:
        del now
        return not pulse.lost

    Pulse.alive = alive  # type: ignore[method-assign, assignment]  # this is what is broken
    Pulse.answered = answered  # type: ignore[method-assign, assignment]
    Pulse.lose = lambda pulse, reason: None  # type: ignore[method-assign, assignment]


BREAKS: Final[dict[str, Callable[[], None]]] = {"deadline": ignores_its_deadline}
