"""Two hosts, a heartbeat file between them, and all that can delay either of them.

True time is known here and nowhere else: every clock of a host derives from it, each with its own
rate, and stands still or jumps as the gaps of its host say. Beats and looks are calls with a
delay on the way to the volume and another on the way back.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

from hypothesis import strategies as st

from volumelease.clock import Reading
from volumelease.core.liveness import Pulse, Standstill, Timing


class Gap(NamedTuple):
    """The host does not run. ``kind``: "paused" (all clocks go on), "suspended" (monotonic
    stands still) or "frozen" (monotonic and boottime stand still, only the wall clock tells)."""

    start: float
    seconds: float
    kind: str


class Host:
    """The clocks of one host, and when it gets to run."""

    def __init__(self, rate: float, gaps: tuple[Gap, ...] = ()) -> None:
        self._rate = rate
        self._gaps = gaps

    def read(self, now: float) -> Reading:
        frozen = self._stood(now, "frozen")
        suspended = self._stood(now, "suspended")
        return Reading(
            monotonic=(now - frozen - suspended) * self._rate,
            boottime=(now - frozen) * self._rate,
            wall=1.7e9 + now * self._rate,
        )

    def _stood(self, now: float, kind: str) -> float:
        """The union of such gaps so far, counted where no gap of another kind came first."""
        total, end = 0.0, 0.0
        for gap in sorted(self._gaps):
            start, stop = max(gap.start, end), min(gap.start + gap.seconds, now)
            if stop > start:
                total += (stop - start) * (gap.kind == kind)
                end = stop
        return total

    def running(self, at: float) -> float:
        """The first moment from ``at`` on at which this host runs."""
        for gap in sorted(self._gaps):
            if gap.start <= at < gap.start + gap.seconds:
                at = gap.start + gap.seconds
        return at


class Call(NamedTuple):
    """``pause`` before it, ``there`` until it takes effect on the volume, ``back`` until its
    answer is here, all in seconds. ``lost``: it ends in an error, ``lands``: and may have taken
    effect all the same. ``stale``: a look that is answered from the cache of attributes."""

    pause: float
    there: float
    back: float
    lost: bool = False
    lands: bool = True
    stale: bool = False


class Beat(NamedTuple):
    sent: float
    lands: float
    answered: float
    lost: bool


def beats_of(host: Host, calls: list[Call], start: float) -> list[Beat]:
    """Never two in flight: the next is sent after the answer, or the error, of the last."""
    beats, now = [], start
    for call in calls:
        sent = host.running(now + call.pause)
        lands = sent + call.there if call.lands else float("inf")
        now = host.running(sent + call.there + call.back)
        beats.append(Beat(sent, lands, now, call.lost or not call.lands))
    return beats


class Holder:
    """A session that was opened at 0 and beats as it can."""

    def __init__(self, timing: Timing, host: Host, calls: list[Call]) -> None:
        self.host = host
        self.beats = beats_of(host, calls, 0.0)
        self._timing = timing

    def counter(self, now: float) -> int:
        """What the file says: 0 as opened, then the number of the beat that landed last."""
        landed = [(beat.lands, number) for number, beat in enumerate(self.beats, 1)]
        return max([(0.0, 0), *(one for one in landed if one[0] <= now)])[1]

    def beliefs(self) -> Iterator[tuple[float, Pulse]]:
        """The holder's state from each moment on, in the order of time."""
        pulse = Pulse(self._timing, self.host.read(0.0))
        yield 0.0, copy.copy(pulse)
        for beat in self.beats:
            pulse.sending(self.host.read(beat.sent))
            yield beat.sent, copy.copy(pulse)
            if not beat.lost:
                pulse.answered(self.host.read(beat.answered))
                yield beat.answered, copy.copy(pulse)

    def believes(self, now: float) -> bool:
        """Whether it would call itself alive if asked at ``now``, or as soon as it runs again.
        Being asked is not noted: a holder that nobody asks must be just as safe."""
        now = self.host.running(now)
        pulse = [state for since, state in self.beliefs() if since <= now][-1]
        return copy.copy(pulse).alive(self.host.read(now))

    def last_belief(self) -> float:
        """When it would last have called itself alive, to a thousandth of the ttl."""
        low, high = 0.0, 1000.0 * self._timing.ttl
        while high - low > self._timing.ttl / 1000:
            middle = (low + high) / 2
            low, high = (middle, high) if self.believes(middle) else (low, middle)
        return high


def verdict_time(
    timing: Timing, holder: Holder, host: Host, looks: list[Call], start: float
) -> float | None:
    """When the observer first says that the holder's session may be ended."""
    standstill = Standstill(timing)
    now = start
    for look in looks:
        asked = host.running(now + look.pause)
        seen = asked + look.there
        now = host.running(seen + look.back)
        if look.lost:
            continue
        stale = timing.cache if look.stale else 0.0
        counter = holder.counter(max(start, seen - stale))
        if standstill.look(counter, host.read(asked), host.read(now)):
            return now
    return None


class Schedule(NamedTuple):
    timing: Timing
    holder: Holder
    observer: Host
    looks: list[Call]
    first_look: float

    def verdict(self) -> float | None:
        return verdict_time(self.timing, self.holder, self.observer, self.looks, self.first_look)


def schedules(
    drift: float, kinds: tuple[str, ...] = (), hidden: int = 0
) -> st.SearchStrategy[Schedule]:
    """Up to ``hidden`` freezes of at most a tolerance each, and gaps of all ``kinds``."""

    @st.composite
    def schedule(draw: st.DrawFn) -> Schedule:
        timing = Timing(draw(st.sampled_from((15.0, 2.0, 2.5, 5.0, 100.0))))
        tick = timing.ttl / 60

        def ticks(most: int, least: int = 0) -> float:
            # Evenly: st.integers() prefers small ones, and what breaks are long delays.
            return draw(st.sampled_from(range(least, most + 1))) * tick

        def host() -> Host:
            gaps = []
            for _ in range(draw(st.integers(0, 2)) if kinds else 0):
                longest = draw(st.sampled_from((12, 60)))
                gaps.append(Gap(ticks(70), ticks(longest), draw(st.sampled_from(kinds))))
            for _ in range(draw(st.integers(0, hidden))):
                part = draw(st.integers(1, 4)) / 4
                gaps.append(Gap(ticks(60), timing.tolerance * part, "frozen"))
            return Host(1 + drift * draw(st.sampled_from((-1, 0, 1))), tuple(gaps))

        def beat() -> Call:
            lost, lands = draw(st.sampled_from(((False, True), (True, True), (True, False))))
            return Call(ticks(50), ticks(50), ticks(50), lost, lands)

        calls = [beat() for _ in range(draw(st.integers(0, 3)))]
        interval, stale = ticks(19, 1), draw(st.booleans())
        looks = [Call(interval, 0.0, 0.0, stale=stale)] * 120
        for _ in range(draw(st.integers(0, 2))):
            slow = Call(interval, ticks(30), ticks(60), draw(st.booleans()), stale=stale)
            looks[draw(st.integers(0, 60))] = slow
        return Schedule(timing, Holder(timing, host(), calls), host(), looks, ticks(30))

    return schedule()
