"""Run one setup under all checkers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from . import scales
from .checkers import Checker, Violation
from .checkers.deadlocks import Deadlocks
from .checkers.exclusion import Exclusion
from .checkers.latch import Latch
from .checkers.one_log import OneLog
from .checkers.only_copies import OnlyCopies
from .checkers.orphans import Orphans
from .checkers.progress import Progress
from .checkers.publishes import Publishes
from .checkers.queue import Queue
from .checkers.replays import Replays
from .checkers.takeover import Takeover
from .checkers.tidiness import Tidiness
from .checkers.tokens import Tokens
from .checkers.uptodate import UpToDate
from .checkers.wakeups import WakeUps
from .fleet import Fleet
from .on_redis.checkers import REDIS_CHECKERS
from .on_redis.fleet import RedisFleet
from .setup import Setup

CHECKERS: Final[list[type[Checker]]] = [
    OneLog,
    Queue,
    Exclusion,
    Publishes,
    Tokens,
    Deadlocks,
    Latch,
    WakeUps,
    UpToDate,
    OnlyCopies,
    Orphans,
    Takeover,
    Tidiness,
    Progress,
    Replays,
]


@dataclass(frozen=True, slots=True)
class Result:
    """How a run went. ``history`` is empty unless it was recorded."""

    violation: Violation | None
    events: int
    history: tuple[str, ...] = ()
    digest: str = ""


def run(setup: Setup, *, recording: bool = False) -> Result:
    with ExitStack() as stack:
        stack.enter_context(scales.small_segments(setup.segment_entries))
        stack.enter_context(
            scales.replaced(VERSION_RETENTION_SECONDS=3.0, CHORE_BEATS=1, COLLECT_BEATS=3)
        )
        if setup.ttl < 6:
            stack.enter_context(
                scales.replaced(TRUST_SECONDS=1.0, SLOW_SECONDS=0.8, LEAST_RETENTION_SECONDS=3.8)
            )
        fleet = (
            RedisFleet(setup, REDIS_CHECKERS, recording=recording)
            if setup.authority == "redis"
            else Fleet(setup, CHECKERS, recording=recording)
        )
        violation: Violation | None = None
        try:
            fleet.run()
        except Violation as error:
            violation = error
            fleet.world.note("checker", error)
        history = fleet.world.history
        return Result(
            violation,
            fleet.world.events,
            tuple(history or ()),
            fleet.world.digest() if recording else "",
        )
