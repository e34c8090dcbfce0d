"""``volumelease demo``: workers of two endpoints compete for one path; what happened is shown."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from . import speech
from .speech import Problem, one_line, say

if TYPE_CHECKING:
    from .competition import Audience, Competition, Outcome

TTL_SECONDS: Final = 3.0
Act = Callable[["Competition"], None]


@click.command(short_help="Watch workers compete for one path of a volume.")
@click.argument(
    "mounts", metavar="[MOUNT...]", nargs=-1, type=click.Path(exists=True, file_okay=False)
)
@click.option("--json", "as_json", is_flag=True, help="The summary alone, for programs.")
def command(mounts: tuple[str, ...], as_json: bool) -> int:
    """Watch workers of two endpoints compete for one path of a volume.

    Six worker processes take turns; one is killed while it holds the lease, and another takes
    over. In a temporary directory, or on a volume: name its mount, or several mounts of the same
    one, and the workers are spread over them. Leaves nothing behind; takes about 10 seconds.

    Exit code 1 if two were ever inside together.
    """
    if not mounts:
        with tempfile.TemporaryDirectory(prefix="volumelease-demo-") as folder:
            if not as_json:
                say("on a temporary directory of this machine (name the mounts of a volume)")
            return perform([folder], usual_acts(1), as_json=as_json)
    if not as_json:
        say(f"on {', '.join(map(one_line, mounts))}")
    return perform(mounts, usual_acts(len(mounts)), as_json=as_json)


def usual_acts(mounts: int) -> list[Act]:
    """They compete, and on each of the first two mounts a holder is killed."""
    acts: list[Act] = [lambda competition: _compete(competition, 2.5)]
    for mount in range(min(mounts, 2)):
        acts.append(lambda competition, mount=mount: competition.kill_holder(mount))  # type: ignore[misc]
        acts.append(lambda competition: _compete(competition, 1.0))
    return acts


def _compete(competition: Competition, seconds: float) -> None:
    competition.watch(seconds)


def perform(mounts: Sequence[str], acts: Sequence[Act], *, as_json: bool = False) -> int:
    """Make a fresh volume below ``mounts``, let the acts happen on it, and say what was seen.
    Returns the exit code."""
    from .competition import Competition

    started = time.monotonic()
    with (
        _fresh_volume(mounts) as roots,
        tempfile.TemporaryDirectory(prefix="volumelease-witness-") as witness,
        _nobody() if as_json else _audience() as audience,
        Competition(roots, witness, audience) as competition,
    ):
        for act in acts:
            act(competition)
    took = time.monotonic() - started
    if as_json:
        say(json.dumps(_document(competition, took)))
    else:
        for line in report(competition, took):
            say(line)
    return 0 if competition.outcome.fine else 1


@contextmanager
def _fresh_volume(mounts: Sequence[str]) -> Iterator[list[str]]:
    """A volume of its own in a new directory, as each mount shows it; gone at the end."""
    from volumelease.authorities.volume import founding
    from volumelease.drivers.files import Files
    from volumelease.drivers.threads import Monitor
    from volumelease.paths.locate import DEMO_PREFIX

    name = f"{DEMO_PREFIX}{os.urandom(4).hex()}"
    roots = [os.path.join(os.path.abspath(mount), name) for mount in mounts]
    os.mkdir(roots[0])
    try:
        for root in roots[1:]:
            if not os.path.isdir(root):
                raise Problem(
                    f"{mounts[roots.index(root)]} and {mounts[0]} are not the same volume",
                    advice="Name several mounts of one volume",
                )
        wanted = founding.Founding(os.urandom(8).hex(), TTL_SECONDS, time.time(), ready=True)
        Monitor(Files()).run(founding.found(roots[0], wanted))
        yield roots
    finally:
        shutil.rmtree(roots[0], ignore_errors=True)


@contextmanager
def _audience() -> Iterator[Audience]:
    if speech.on_terminal():
        from .scoreboard import scoreboard

        with scoreboard() as show:
            yield show
    else:
        yield _lines


@contextmanager
def _nobody() -> Iterator[Audience]:
    yield lambda competition, said: None


def _lines(competition: Competition, said: str) -> None:
    from .competition import boottime

    if said:
        say(f"{boottime() - competition.started:6.2f} s  {said}")


def report(competition: Competition, seconds: float) -> list[str]:
    """What was seen, in lines for a person."""
    outcome = competition.outcome
    grants = ", ".join(f"{worker} {worker.grants}" for worker in competition.workers)
    lines = [
        "",
        f"{len(outcome.turns)} grants in {seconds:.1f} s: {grants}",
        f"hand-off from one worker to the next: {outcome.handoff_p50 * 1000:.1f} ms (p50)",
    ]
    for takeover in outcome.takeovers:
        line = f"{takeover.worker} was {takeover.accident} while it held the lease: "
        if takeover.stopped:
            line += f"it stopped {takeover.stopped:.2f} s later by itself, "
        lines.append(f"{line}the next worker held it {takeover.taken * 1000:.0f} ms later")
    lines += outcome.errors
    lines.append(_verdict(outcome))
    return lines


def _document(competition: Competition, seconds: float) -> dict[str, Any]:
    outcome = competition.outcome
    handoff = outcome.handoff_p50
    return {
        "schema": 1,
        "fine": outcome.fine,
        "seconds": round(seconds, 3),
        "grants": len(outcome.turns),
        "workers": [
            {"name": worker.name, "endpoint": worker.endpoint, "grants": worker.grants}
            for worker in competition.workers
        ],
        "overlaps": outcome.overlaps,
        "tokens_grew": outcome.tokens_grew,
        "handoff_p50_seconds": None if math.isnan(handoff) else round(handoff, 6),
        "takeovers": [
            {"worker": takeover.worker, "taken_seconds": round(takeover.taken, 6)}
            for takeover in outcome.takeovers
        ],
        "errors": outcome.errors,
    }


def _verdict(outcome: Outcome) -> str:
    if outcome.overlaps:
        return f"OVERLAPS: {outcome.overlaps}. Two workers were inside together"
    if not outcome.tokens_grew:
        return "the tokens did not grow with every grant"
    turns = len(outcome.turns)
    return f"overlaps: 0 in {turns} turns (witnessed by exclusive files, and by the clock)"
