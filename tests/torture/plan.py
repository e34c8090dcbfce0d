"""What shall go wrong, and when: drawn from a seed before anything begins."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

HOSTS: Final = 3
MODES: Final = ("library", "daemon", "worker")
"""How a hand comes to its leases: with a session of its own, as a client of its host's daemon, or
below ``volumelease worker`` in a container."""

HANDS: Final = tuple(f"{mode}{host}" for host in range(HOSTS) for mode in MODES)


class Kind(NamedTuple):
    """A fault. ``trouble``: what the simulator calls it. ``seconds``: its length in ttl, at least
    and at most. ``target``: whom it can hit. ``weight``: how often it is drawn."""

    name: str
    trouble: str
    target: str
    seconds: tuple[float, float]
    weight: int


KINDS: Final = (
    Kind("kill", "kill", "hand", (0.0, 0.0), 4),
    Kind("kill_daemon", "kill", "host", (0.0, 0.3), 2),
    Kind("stop", "stop", "hand", (0.1, 2.0), 3),
    Kind("stop_daemon", "stop", "host", (0.1, 1.6), 1),
    Kind("cut", "cut", "host", (0.2, 1.8), 3),
    Kind("lose_replies", "lost", "host", (0.1, 0.6), 1),
    Kind("lose_long_replies", "resend", "host", (0.1, 0.6), 2),
    Kind("restart_master", "slow", "", (0.0, 0.2), 1),
    Kind("pause_master", "slow", "", (0.1, 0.5), 1),
    Kind("full_of_names", "full", "", (0.2, 0.8), 2),
    Kind("full_of_bytes", "full", "", (0.2, 0.8), 1),
    Kind("set_clock", "wall", "", (0.0, 0.0), 1),
    Kind("restart_redis", "line", "redis", (0.0, 0.0), 1),
    Kind("empty_redis", "empty", "redis", (0.0, 0.0), 1),
    Kind("flush_redis", "flush", "redis", (0.0, 0.0), 1),
    Kind("fail_over_redis", "failover", "redis", (0.0, 0.0), 1),
    Kind("pause_redis", "pause", "redis", (0.2, 0.4), 1),
    Kind("cut_redis", "cut", "host", (0.2, 1.6), 1),
    Kind("lose_redis_replies", "lost", "host", (0.1, 0.3), 1),
)
DELETE: Final = Kind("delete_log", "delete", "", (0.0, 0.0), 0)
NAMES: Final = {kind.name: kind for kind in (*KINDS, DELETE)}

SHARE_OF_DELETIONS: Final = 0.8
"""Of the time: after the log was deleted, what is public can't be judged any more."""


class Step(NamedTuple):
    """``at`` and ``seconds`` from the beginning; ``target``: a hand, the number of a host, or
    nothing."""

    at: float
    fault: str
    target: str
    seconds: float

    def __str__(self) -> str:
        words = [f"{self.at:7.1f} s", self.fault, self.target]
        if self.seconds:
            words.append(f"for {self.seconds:.1f} s")
        return "  ".join(word for word in words if word)


def plan(seed: int, seconds: float, ttl: float) -> list[Step]:
    """Every so often a fault, sometimes a second one into it; one deletion of the log. The last
    ends with ``seconds`` at the latest."""
    chance = Random(f"plan {seed}")
    bag = _bag(chance)
    steps: list[Step] = []
    at = 0.3 * ttl
    while at < seconds:
        if not bag:
            bag = _bag(chance)
        step = _drawn(chance, bag.pop(), at, ttl)
        steps.append(step)
        if step.seconds > 0.3 * ttl and chance.random() < 0.5:
            second = at + chance.uniform(0.1, 0.9) * step.seconds
            steps.append(_drawn(chance, NAMES[chance.choice(("kill", "stop"))], second, ttl))
        at += step.seconds + ttl * chance.choice((0.1, 0.3, 0.8, 1.5))
    steps = [step for step in steps if step.at + step.seconds <= seconds]
    late = [n for n, step in enumerate(steps) if step.at > SHARE_OF_DELETIONS * seconds]
    if late:
        at = steps[late[0]].at
        steps.insert(late[0], Step(at, DELETE.name, "", 0.0))
    return sorted(steps)


def _bag(chance: Random) -> list[Kind]:
    """Each kind as often as it weighs, shuffled: a short plan has many kinds too."""
    bag = [kind for kind in KINDS for _ in range(kind.weight)]
    chance.shuffle(bag)
    return bag


def _drawn(chance: Random, kind: Kind, at: float, ttl: float) -> Step:
    target = ""
    if kind.target == "hand":
        target = chance.choice(HANDS)
    elif kind.target == "host":
        target = str(chance.randrange(HOSTS))
    return Step(at, kind.name, target, ttl * chance.uniform(*kind.seconds))


def troubles(steps: Sequence[Step]) -> tuple[str, ...]:
    """What the simulator calls all that; ``mount`` and ``late``: calls that a cut held up."""
    return tuple(sorted({NAMES[step.fault].trouble for step in steps} | {"late", "mount"}))
