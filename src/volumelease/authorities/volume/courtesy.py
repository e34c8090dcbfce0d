"""Taking turns at the log among those who commit at once. Courtesy, not safety, and so with a
bound: who goes without it, or waits in vain, only costs retries.

Two rules. Who was slower than others twice queues up at the turnstile, so that a herd of N costs
N misses and not N * N. And who is always fast enough comes through the turnstile now and then:
for somebody else may be behind, reading no faster than the log grows, and would never get to its
end. Whoever is behind holds the turnstile until it has committed.
"""

from __future__ import annotations

from typing import Final

from volumelease.effects import EnterTurn, Sleep, Steps, Turn

TURNSTILE_SECONDS: Final = 0.05
BACK_OFF_SECONDS: Final = 0.0005
HERD_MISSES: Final = 2
"""Two committers that meet sort themselves out sooner than a lock could."""
BEHIND_ENTRIES: Final = 64
BEHIND_SECONDS: Final = 1.0
"""So many entries further than it knew, a committer is behind, and waits longer for the turnstile:
without it, it may run after the end for ever."""
COMMITS_IN_A_ROW: Final = 64
"""So many commits without the turnstile, and it is asked for once: two calls to the volume for 64
commits; and while it is held, the log grows at about half its speed."""
VAIN_WAITS: Final = 20
"""So many waits in vain one after the other (of ``TURNSTILE_SECONDS``), and whoever holds the
turnstile is not behind but stuck or gone: a host that was cut off keeps its lock for a day."""


class Contender:
    """What one commit has been through."""

    __slots__ = ("misses", "passed")

    def __init__(self) -> None:
        self.misses = 0
        """How often somebody else was faster."""
        self.passed = False
        """Whether it has the turnstile."""


class Courtesy:
    """One committer's part in it."""

    def __init__(self, author: str, turnstile: Turn | None) -> None:
        self._author = author
        self._turnstile = turnstile
        self._vain = 0
        self._own = 0

    def begin(self, commit: Contender) -> Steps[None]:
        """Before a commit: let those through who are behind, if it is time for that. Nobody can
        tell whether there are any: a newcomer is not in the log yet."""
        self._own += 1
        if self._turnstile is not None and self._own > COMMITS_IN_A_ROW:
            self._own = 0
            yield from self._enter(commit, self._turnstile, TURNSTILE_SECONDS)

    def missed(self, commit: Contender) -> Steps[None]:
        """Somebody else was faster."""
        commit.misses += 1
        if self._turnstile is None or commit.passed or commit.misses < HERD_MISSES:
            return
        yield from self._enter(commit, self._turnstile, TURNSTILE_SECONDS)
        if not commit.passed:
            yield Sleep(self._scattered(commit.misses))

    def behind(self, commit: Contender) -> Steps[None]:
        """Even now it does not know the end of the log."""
        if self._turnstile is not None and not commit.passed and self._vain < VAIN_WAITS:
            yield from self._enter(commit, self._turnstile, BEHIND_SECONDS)

    def end(self, commit: Contender) -> None:
        """It is over, or was interrupted."""
        if commit.passed and self._turnstile is not None:
            self._turnstile.leave()

    def _enter(self, commit: Contender, turnstile: Turn, seconds: float) -> Steps[None]:
        """Once it is stuck it is only tried, until it is had at once."""
        if self._vain >= VAIN_WAITS:
            seconds = 0.0
        try:
            commit.passed = yield EnterTurn(turnstile, seconds)
        except BaseException:  # interrupted, perhaps right after it was had
            turnstile.leave()
            raise
        self._vain = 0 if commit.passed else self._vain + round(seconds / TURNSTILE_SECONDS)

    def _scattered(self, misses: int) -> float:
        """Seconds that differ from author to author and grow: few may queue at the turnstile, and
        all others would meet again at the next index."""
        longest = min(BACK_OFF_SECONDS * 2.0 ** min(misses, 16), TURNSTILE_SECONDS)
        share = (int(self._author[:6], 16) * (2 * misses + 1) >> 4) % 1000
        return longest * share / 1000
