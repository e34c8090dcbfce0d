"""When was a path under a lease? The history of leases, as far as it is needed to judge a write.

It is read again and again (``histories``). A lease begins at the earliest when the history was last
read to its end before the grant was found there, and ends at the latest when its end was found.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from volumelease.clock import Clock
from volumelease.core.conflicts import covers, overlaps

KEPT_SECONDS: Final = 600.0


class Span(NamedTuple):
    """``keys`` were leased exclusively from ``began`` to ``ended`` (monotonic), by a process of
    the boot ``boot_id``, "" if that is not known."""

    keys: tuple[str, ...]
    began: float
    ended: float
    boot_id: str


class Spans:
    """What was leased when. Not thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._read_at = clock.monotonic()
        self._began = False
        self._open: dict[int, Span] = {}
        self._over: list[Span] = []
        self._blind: list[tuple[float, float]] = []
        """Times of which nothing is known."""

    def begin(self, token: int, keys: tuple[str, ...], boot_id: str) -> None:
        """A lease was found that was not there at the last reading."""
        self._open[token] = Span(keys, self._read_at, float("inf"), boot_id)

    def end(self, token: int) -> None:
        """That lease was found to be over, or to be no longer exclusive."""
        span = self._open.pop(token, None)
        if span is not None:
            self._over.append(span._replace(ended=self._clock.monotonic()))

    def begun(self, token: int) -> bool:
        """Whether that lease is known, and not known to be over."""
        return token in self._open

    @property
    def running(self) -> list[int]:
        """The tokens of the leases that are not over."""
        return list(self._open)

    def know_nothing(self) -> None:
        """Of the time since the last reading: before the first one, nothing was looked at."""
        if self._began:
            self._blind.append((self._read_at, self._clock.monotonic()))

    def read_to_the_end(self, began_at: float) -> None:
        """The history was read completely by a reading that began then."""
        self._read_at, self._began = began_at, True
        oldest = began_at - KEPT_SECONDS
        self._over = [span for span in self._over if span.ended > oldest]
        self._blind = [gap for gap in self._blind if gap[1] > oldest]

    def covered(
        self, key: str, since: float, until: float, boot_id: str = "", *, above: bool = False
    ) -> bool:
        """Whether a lease may have covered ``key`` at some moment between the two; with a
        ``boot_id``, a lease of that machine. ``above``: a lease further down does too, as of a
        directory that was made for its sake. What nobody knows counts as covered."""
        reaches = overlaps if above else covers
        if any(first <= until and since <= last for first, last in self._blind):
            return True
        return any(
            span.began <= until
            and since <= span.ended
            and (not boot_id or not span.boot_id or span.boot_id == boot_id)
            and any(reaches(mine, key) for mine in span.keys)
            for spans in (self._open.values(), self._over)
            for span in spans
        )
