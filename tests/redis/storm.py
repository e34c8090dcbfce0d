"""A fleet of workers that contend while one fault follows the other, and what came of it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from tests.volume.fleet import fleet
from volumelease.core.conflicts import overlaps as paths_overlap
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate

from .contenders import now
from .ground import Ground, SentinelGround

WORKERS: Final = 8
Authority = Literal["volume", "redis"]
Fault = Callable[[Any], frozenset[int] | None]


class Grant(NamedTuple):
    """Times are those of CLOCK_BOOTTIME."""

    worker: int
    asked: float
    entered: float
    left: float
    path: str
    exclusive: bool
    token: int

    def conflicts(self, other: Grant) -> bool:
        return (self.exclusive or other.exclusive) and paths_overlap(self.path, other.path)


class Loss(NamedTuple):
    worker: int
    at: float
    why: str


class Hit(NamedTuple):
    """One fault. ``cut``: the workers that it cut off."""

    name: str
    begun: float
    ended: float
    cut: frozenset[int]


@dataclass(frozen=True, slots=True)
class Report:
    """What a storm left."""

    ttl: float
    grants: list[Grant]
    overlaps: list[str]
    losses: list[Loss]
    errors: Counter[str]
    hits: list[Hit]

    def smaller_tokens(self) -> list[tuple[Grant, Grant]]:
        """Of two grants that conflict, the later with a token that is not larger."""
        found = []
        ordered = sorted(self.grants, key=lambda grant: grant.entered)
        for number, later in enumerate(ordered):
            for earlier in ordered[max(0, number - 50) : number]:
                if earlier.conflicts(later) and earlier.token >= later.token:
                    found.append((earlier, later))
        return found

    def losses_of_the_healthy(self) -> list[Loss]:
        """Those of workers that were not cut off at the time, or until a ttl before."""
        return [
            loss
            for loss in self.losses
            if not any(
                loss.worker in hit.cut and hit.begun <= loss.at <= hit.ended + self.ttl
                for hit in self.hits
            )
        ]

    def standstills(self) -> list[int]:
        """Workers without a grant within two ttl of the end of the last fault."""
        last = max((hit.ended for hit in self.hits), default=0.0)
        served = {g.worker for g in self.grants if last <= g.entered <= last + 2 * self.ttl}
        return sorted(set(range(WORKERS)) - served)

    def __str__(self) -> str:
        each = Counter(grant.worker for grant in self.grants)
        pauses = self.longest_pauses()
        return "\n".join(
            [
                f"{len(self.grants)} grants, by worker {sorted(each.values())}",
                f"{len(self.overlaps)} overlaps: {self.overlaps[:3]}",
                f"{len(self.smaller_tokens())} smaller tokens: {self.smaller_tokens()[:2]}",
                f"{len(self.losses)} losses, {len(self.losses_of_the_healthy())} of healthy "
                f"workers: {self.losses_of_the_healthy()[:3]}",
                f"errors: {dict(self.errors)}",
                f"no progress after the last fault: {self.standstills()}",
                f"longest time without any grant after a fault: {pauses}",
            ]
        )

    def longest_pauses(self) -> dict[str, float]:
        """By fault: seconds from its end to the next grant to anybody, the longest."""
        found: dict[str, float] = {}
        entered = sorted(grant.entered for grant in self.grants)
        for hit in self.hits:
            after = next((at for at in entered if at > hit.ended), None)
            if after is not None:
                found[hit.name] = round(max(found.get(hit.name, 0.0), after - hit.ended), 2)
        return found


def blow(
    ground: Ground | SentinelGround,
    folder: Path,
    faults: Sequence[Fault],
    *,
    taker: str = "leases",
    every: float = 4.0,
    rounds: int = 1,
) -> Report:
    """``faults`` in turn, one every so many seconds, ``rounds`` times; then a calm of three ttl.
    The volume is ``folder``/volume. All workers are ended."""
    hits: list[Hit] = []
    with fleet() as workers:
        contenders = [
            workers.start(
                "contend",
                module="tests.redis.contenders",
                mount=folder / "volume",
                witness=folder / "witness",
                number=number,
                url=url,
                calm=folder / "calm",
                ttl=ground.ttl,
                taker=taker,
            )
            for number, url in enumerate(ground.urls)
        ]
        for worker in contenders:
            worker.wait_for("first", 60)
        for fault in [*faults] * rounds:
            time.sleep(every)
            begun = now()
            cut = fault(ground) or frozenset()
            hits.append(Hit(fault.__name__, begun, now(), cut))
        (folder / "calm").touch()
        time.sleep(3 * ground.ttl)
        for worker in contenders:
            worker.tell_to_go_on()
        said = [worker.wait_for("grants", 60) for worker in contenders]
        assert [worker.process.wait(30) for worker in contenders] == [0] * len(contenders)
    return _report(ground.ttl, said, hits)


def _report(ttl: float, said: list[dict[str, Any]], hits: list[Hit]) -> Report:
    grants = [
        Grant(number, asked, entered, left, path, exclusive, int(token))
        for number, one in enumerate(said)
        for asked, entered, left, path, exclusive, token in one["grants"]
    ]
    return Report(
        ttl,
        grants,
        [overlap for one in said for overlap in one["overlaps"]],
        [Loss(number, *loss) for number, one in enumerate(said) for loss in one["losses"]],
        sum((Counter(one["errors"]) for one in said), Counter()),
        hits,
    )


def make_volume(folder: Path, ttl: float, authority: Authority, url: str) -> None:
    """What ``volumelease init --authority --ttl`` does."""
    root = str(folder / "volume")
    os.mkdir(root)
    process = Surroundings.of_this_process()
    settings = process.settings._replace(authority=authority, redis_url=url)
    volumes = Volumes(process._replace(settings=settings))
    found = volumes.found(locate(root, explicit=root), ready=True, ttl=ttl)
    assert found.authority == authority
