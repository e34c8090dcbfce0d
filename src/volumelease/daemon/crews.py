"""The threads in which a daemon does what may hang on one volume."""

from __future__ import annotations

from typing import Final

from volumelease.drivers.crew import Crew

_LONG: Final = frozenset({"publish", "prepare", "discard", "progress"})
"""These copy, sync, delete or measure for as long as there is data."""


class Crews:
    """Those of one volume.

    ``short`` does what is asked, ``long`` what is asked and may take long: clients that all
    publish at once must not keep others from a healthy volume. ``aside`` does what no request may
    hold up: to look what changed, and to give back; ``burials`` what clients leave that have gone.
    Nothing is done in the event loop instead: what can't be refused waits for a thread.
    """

    def __init__(self, short: Crew) -> None:
        self.short = short
        self.long = Crew()
        self.aside = Crew()
        self.burials = Crew()

    def of(self, do: str) -> Crew:
        """The one for requests of that name."""
        return self.long if do in _LONG else self.short

    def rouse(self) -> None:
        """Where no thread could be made for what waits, try again."""
        for crew in (self.short, self.long, self.aside, self.burials):
            crew.rouse()
