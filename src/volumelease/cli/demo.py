"""``volumelease demo``: workers of two endpoints compete for one path; what happened is shown."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from . import speech
from .speech import Problem, say

if TYPE_CHECKING:
    from .competition import Audience, Competition, Outcome

TTL_SECONDS: Final = 3.0
Act = Callable[["Competition"], None]


@click.command()
@click.argument(
    "mounts", metavar="[MOUNT...]", nargs=-1, type=click.Path(exists=True, file_okay=False)
)
def command(mounts: tuple[str, ...]) -> int:
    """Watch workers of two endpoints compete for one path of a volume.

    Six worker processes take turns; one is killed while it holds the lease, and another takes
    over. In a temporary directory, or on a volume: name its mount, or several mounts of the same
    one, and the workers are spread over them. Leaves nothing behind; takes about 10 seconds.

    Exit code 1 if two were ever inside together.
    """
    if not mounts:
        with tempfile.TemporaryDirectory(prefix="volumelease-demo-") as folder:
            say("on a temporary directory of this machine (name the mounts of a volume to use it)")
            return perform([folder], usual_acts(1))
    say(f"on {', '.join(mounts)}")
    return perform(mounts, usual_acts(len(mounts)))


def usual_acts(mounts: int) -> list[Act]:
    """They compete, and on each of the first two mounts a holder is killed."""
    acts: list[Act] = [lambda competition: _compete(competition, 2.5)]
    for mount in range(min(mounts, 2)):
        acts.append(lambda competition, mount=mount: competition.kill_holder(mount))  # type: ignore[misc]
        acts.append(lambda competition: _compete(competition, 1.0))
    return acts


def _compete(competition: Competition, seconds: float) -> None:
    competition.watch(seconds)


def perform(mounts: Sequence[str], acts: Sequence[Act]) -> int:
    """Make a fresh volume below ``mounts``, let the acts happen on it, and say what was seen.
    Returns the exit code."""
    from .competition import Competition

    started = time.monotonic()
    with (
        _fresh_volume(mounts) as roots,
        tempfile.TemporaryDirectory(prefix="volumelease-witness-") as witness,
        _audience() as audience,
        Competition(roots, witness, audience) as competition,
    ):
        for act in acts:
            act(competition)
    for line in report(competition, time.monotonic() - started):
        say(line)
    return 0 if competition.outcome.fine else 1


@contextmanager
def _fresh_volume(mounts: Sequence[str]) -> Iterator[list[str]]:
    """A volume of its own in a new directory, as each mount shows it; gone at the end."""
    from volumelease.authorities.volume import founding
    from volumelease.drivers.files import Files
    from volumelease.drivers.threads import Monitor

    name = f"volumelease-demo-{os.urandom(4).hex()}"
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


def _verdict(outcome: Outcome) -> str:
    if outcome.overlaps:
        return f"OVERLAPS: {outcome.overlaps}. Two workers were inside together"
    if not outcome.tokens_grew:
        return "the tokens did not grow with every grant"
    turns = len(outcome.turns)
    return f"overlaps: 0 in {turns} turns (witnessed by exclusive files, and by the clock)"
