"""One holder against one observer: the inequality that every lease rests on, and nothing else.

A whole fleet spends little of its time near a deadline. Here every history does: the holder's
beats and the observer's looks are late, slow, lost or stopped at random, and all that is asked is
whether the observer may end a session that its holder still believes in. Thousands of histories
take a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from volumelease.clock import Reading
from volumelease.core.liveness import Pulse, Standstill, Succession, Timing


@dataclass(slots=True)
class _Clock:
    offset: float
    rate: float

    def read(self, now: float) -> Reading:
        boottime = self.offset + now * self.rate
        return Reading(boottime, boottime, boottime)


@dataclass(frozen=True, slots=True)
class Duel:
    """``ended_at`` is when the observer decided, ``believed_until`` the last instant at which
    the holder believed, both in true time."""

    ended_at: float
    believed_until: float
    told: tuple[str, ...]

    @property
    def fair(self) -> bool:
        return self.believed_until < self.ended_at


def duel(seed: int) -> Duel:
    random = Random(seed)
    timing = Timing(random.choice((2.0, 3.0, 9.0, 15.0, 30.0)))
    drift = random.choice((0.0, 0.001, 0.02, 0.08))  # of two clocks: 16 %, a fifth is allowed
    holder = _Clock(random.uniform(0, 1e5), 1 + random.choice((-drift, drift)))
    observer = _Clock(random.uniform(0, 1e5), 1 + random.choice((-drift, drift)))
    told: list[str] = []
    landings, last_belief = _beats(random, timing, holder, told)
    ended_at = _looks(random, timing, observer, landings, told)
    return Duel(ended_at, last_belief, tuple(told))


def _beats(
    random: Random, timing: Timing, clock: _Clock, told: list[str]
) -> tuple[list[tuple[float, int]], float]:
    """When each counter landed, and until when the holder believed."""
    now, counter = 0.0, 0
    pulse = Pulse(timing, clock.read(now))
    landings = [(0.0, 0)]
    while pulse.alive(clock.read(now)) and counter < 40:
        counter += 1
        pulse.sending(clock.read(now))
        lands = now + _delay(random, timing)
        answered = lands + _delay(random, timing)
        if random.random() < 0.85:
            landings.append((lands, counter))
        else:
            answered = lands + 0.1 * timing.ttl * random.random()
        counted = (lands, counter) in landings and pulse.answered(clock.read(answered))
        told.append(f"beat {counter} sent {now:.2f} lands {lands:.2f} counts: {counted}")
        now = max(answered, now + timing.beat_interval * random.choice((0.1, 1.0)))
        if random.random() < 0.1:
            break  # the process stops beating for good and goes on believing
    if random.random() < 0.5:
        return _heir(random, timing, clock, told, landings, now, pulse)
    believed = (pulse.deadline - clock.offset) / clock.rate
    probe = now + 2 * timing.ttl
    until = probe if pulse.alive(clock.read(probe)) else believed
    told.append(f"believed until {until:.2f}")
    return landings, until


def _heir(
    random: Random,
    timing: Timing,
    clock: _Clock,
    told: list[str],
    landings: list[tuple[float, int]],
    now: float,
    before: Pulse,
) -> tuple[list[tuple[float, int]], float]:
    """The holder was killed, and a successor sends one beat; its clients believe meanwhile."""
    last = max(counter for _, counter in landings)
    lands_last = max(lands for lands, _ in landings)
    until = before.deadline if not before.lost else 0.0
    now = max(now, lands_last) + random.choice((0.01, 1.2)) * timing.ttl * random.random()
    believed = (before.deadline - clock.offset) / clock.rate
    going_on = Succession(last, until)
    pulse = going_on.pulse(timing, clock.read(now))
    pulse.sending(clock.read(now))
    lands = now + _delay(random, timing)
    landings.append((lands, going_on.last_counter() + 1))
    counted = pulse.answered(clock.read(lands + _delay(random, timing)))
    told.append(f"a successor's beat, sent {now:.2f}, lands {lands:.2f}, counts: {counted}")
    if counted:
        believed = (pulse.deadline - clock.offset) / clock.rate
    told.append(f"believed until {believed:.2f}")
    return landings, believed


def _looks(
    random: Random,
    timing: Timing,
    clock: _Clock,
    landings: list[tuple[float, int]],
    told: list[str],
) -> float:
    """When the observer may end the session."""
    standstill, now = Standstill(timing), timing.ttl * random.random()
    lag = timing.cache if random.random() < 0.7 else 0.0
    while now < 100 * timing.ttl:
        asked = clock.read(now)
        looks = now + (0.0 if random.random() < 0.5 else _delay(random, timing))
        answered = looks + _delay(random, timing)
        seen = [counter for lands, counter in landings if lands <= looks - lag]
        counter = seen[-1] if seen else 0
        if standstill.look(counter, asked, clock.read(answered)):
            told.append(f"ended at {answered:.2f}, seen {counter} asked {now:.2f}")
            return answered
        now = answered + timing.beat_interval * random.choice((0.05, 0.05, 0.9)) * random.random()
    return now


def _delay(random: Random, timing: Timing) -> float:
    """Mostly nothing; sometimes nearly as long as a deadline."""
    if random.random() < 0.8:
        return 0.002 * random.random()
    return random.choice((0.05, 0.4, 1.0)) * timing.ttl * random.random()


def search(seeds: range) -> tuple[int, Duel] | None:
    """The first unfair duel, if there is one."""
    for seed in seeds:
        result = duel(seed)
        if not result.fair:
            return seed, result
    return None
