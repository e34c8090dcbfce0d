"""What a seed decides before a run starts: the fleet, the times and the kinds of trouble."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

TROUBLES: Final = (
    "error",  # a call fails, nothing happened
    "lost",  # a call happened, its caller gets EIO
    "late",  # a call fails and happens afterwards
    "resend",  # a call happens, its answer is lost, it is sent again
    "slow",  # a call or its answer takes seconds
    "stall",  # one thread stands still between two steps
    "stop",  # a whole process stands still between any two steps
    "kill",  # a process dies, what it had in flight lands late
    "cut",  # a host loses the volume
    "suspend",  # a host sleeps
    "freeze",  # a machine is frozen and goes on with clocks that noticed nothing
    "wall",  # a wall clock is set
    "full",  # no inode is free
    "forget",  # the master forgets its last operations
    "delete",  # somebody removes the control directory
    "garbage",  # somebody writes into the log what is no record
    "interrupt",  # Ctrl-C, or a caller that gives up
    "break",  # somebody breaks a lease
)

REDIS_TROUBLES: Final = (
    "error",  # a call is not executed, its caller is told that nothing is known
    "lost",  # a call is executed, its answer is lost
    "late",  # its caller gave up on a call, and it is executed afterwards
    "resend",  # a call is executed twice
    "slow",  # a call or its answer takes seconds
    "stall",
    "stop",
    "kill",
    "cut",  # a host loses the server
    "suspend",
    "freeze",
    "wall",  # a wall clock is set, of a host or of the server
    "pause",  # the server stands still, and goes on with the calls it had
    "flush",  # somebody flushes the server
    "empty",  # the server is killed and comes back empty
    "tail",  # it comes back without its last writes
    "failover",  # a replica that lags becomes the master
    "line",  # the master takes a new name for its line, though nothing is lost
    "readonly",  # the server takes no writes
    "full",  # maxmemory is reached
    "garbage",  # somebody takes out a session's request by hand
    "mount",  # calls on the volume go wrong
    "delete",  # somebody removes the control directory
    "interrupt",
    "break",
)
"""Where a Redis is the authority; what is not explained is as on a volume."""

DIRECTORIES: Final = ("a/d", "a/b/d", "ab/d", "b/d")
"""Where directories are published, and may have stood before."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One run. Times in seconds, intensities between 0 and 1; workers pause ``hurry`` times as
    long as they usually do."""

    seed: int
    ttl: float
    workers: int
    hosts: int
    trouble_seconds: float
    segment_entries: int
    drift: float
    cache_seconds: float
    ready: bool
    hurry: float
    intensity: tuple[tuple[str, float], ...]
    old: tuple[str, ...] = ()
    """Where directories stand that nobody published."""
    daemons: bool = False
    """Each worker hosts leases of others, who outlive it, and has successors."""
    containers: bool = False
    """Those others die with it, as its lock shows, and its successors come in the same place."""
    authority: str = "volume"
    moves: bool = False
    """What is published is written elsewhere and moved in."""

    def strength(self, trouble: str) -> float:
        return dict(self.intensity).get(trouble, 0.0)

    @property
    def troubles(self) -> tuple[str, ...]:
        return tuple(name for name, strength in self.intensity if strength > 0)


class Case(NamedTuple):
    """Names one run, so that it can be run again: a seed, and what was left out of it.
    ``busy``: workers without pauses, on three hosts, with the shortest segments."""

    seed: int
    only: tuple[str, ...] | None = None
    workers: int | None = None
    long: bool = False
    busy: bool = False
    daemons: bool = False
    authority: str = "volume"
    containers: bool = False
    moves: bool = False

    def command(self, mutant: str = "") -> str:
        words = ["python -m tests.simulation", f"--seed {self.seed} --runs 1"]
        if self.authority != "volume":
            words.append(f"--authority {self.authority}")
        if self.only is not None:
            words.append(f"--only {','.join(self.only) or 'nothing'}")
        if self.workers is not None:
            words.append(f"--workers {self.workers}")
        if self.long:
            words.append("--long")
        if self.busy:
            words.append("--busy")
        if self.daemons:
            words.append("--daemons")
        if self.containers:
            words.append("--containers")
        if self.moves:
            words.append("--moves")
        if mutant:
            words.append(f"--mutant {mutant}")
        return " ".join(words)


def troubles_of(authority: str) -> tuple[str, ...]:
    return REDIS_TROUBLES if authority == "redis" else TROUBLES


def setup_of(case: Case) -> Setup:
    """The setup of that case. What the case leaves out does not change what chance decides about
    the rest, so a history can be shortened by leaving things out."""
    random = Random(case.seed ^ 0x5EED)
    troubles = troubles_of(case.authority)
    strengths = {name: random.random() for name in troubles}
    how_many = random.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 7))
    order = list(troubles)
    random.shuffle(order)
    drawn = set(order[:how_many])
    if random.random() < 0.5:
        drawn.discard("delete")
    chosen = drawn if case.only is None else set(case.only)
    ttl = random.choice((2.0, 2.5, 3.0, 3.0, 6.0, 9.0))
    fleet = random.choice((2, 2, 3, 3, 4))
    seconds = min(11.0, ttl * random.uniform(2.0, 3.5))
    return Setup(
        seed=case.seed,
        ttl=ttl,
        workers=fleet if case.workers is None else case.workers,
        hosts=3 if case.busy else random.randint(1, 3),
        trouble_seconds=seconds * (3.0 if case.long else 1.0),
        segment_entries=12 if case.busy else random.choice((12, 16, 24, 48)),
        drift=random.choice((0.0, 0.001, 0.02, 0.05)),
        cache_seconds=1.0 if case.busy else random.choice((0.0, 0.5, 1.0, 1.0)),
        ready=random.random() < 0.8,
        hurry=0.1 if case.busy else random.choice((1.0, 1.0, 1.0, 0.2)),
        intensity=tuple((name, strengths[name]) for name in troubles if name in chosen),
        old=_old(random) if case.authority == "volume" else (),
        daemons=case.daemons or case.containers,
        containers=case.containers,
        authority=case.authority,
        moves=case.moves,
    )


def _old(random: Random) -> tuple[str, ...]:
    return tuple(place for place in DIRECTORIES if random.random() < 0.3)
