"""``make torture MINUTES=10 SEED=1 [AUTHORITY=redis]``: a fleet on a real volume under a plan of
faults, drawn from the seed; its history, judged by the checkers of the simulator; ``volumelease
verify`` at the end. Exit code 1 if anything broke a promise. MINUTES are those of the faults, for
each authority.

A seed fixes the plan and what each hand draws, not how the machine takes turns: the same seed
tries the same things again, and can end otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import volumelease
from tests.bed import missing
from tests.bed.redis import missing_redis

from .founding import AUTHORITIES
from .judging import Terms, Verdict, judge
from .notes import read
from .plan import HANDS, Step, plan, troubles
from .scene import Scene, libfaketime

TTL: Final = 10.0
WITHIN_TTL: Final = 2.0
"""After the last fault everybody has had a lease within so many."""

RESULTS: Final = Path(__file__).parents[2] / "benchmarks/results/torture"

START_SECONDS: Final = 120.0
IDLE_SECONDS: Final = 4.0
TEND_SECONDS: Final = 0.2
BUSY_SECONDS: Final = 90.0
"""At most for hands to put down what they have in hand."""


def say(*words: object) -> None:
    print(*words, flush=True)


class Outcome:
    """How one torture ended."""

    def __init__(self, verdict: Verdict, verified: int, report: str, broke: list[str]) -> None:
        self.verdict = verdict
        self.verified, self.report = verified, report
        self.broke = broke

    @property
    def good(self) -> bool:
        return not (self.verdict.violations or self.verified or self.broke)

    def __str__(self) -> str:
        lines = [str(self.verdict), f"verify: {self.report}"]
        if self.broke:
            lines.append("hands that ended by an error:")
            lines += self.broke
        lines.append("withstood" if self.good else "BROKEN")
        return "\n".join(lines)

    def document(self, authority: str, seed: int, minutes: float) -> dict[str, object]:
        """As ``--save`` keeps it."""
        verdict = self.verdict
        return {
            "what": "torture",
            "authority": authority,
            "seed": seed,
            "minutes": minutes,
            "leases": verdict.leases,
            "publishes": verdict.publishes,
            "told_as_lost": verdict.losses,
            "seconds_until_all_had_one_again": round(verdict.unsettled, 1),
            "violations": len(verdict.violations),
            "withstood": self.good,
            "python": platform.python_version(),
            "version": volumelease.__version__,
        }


def torture(
    authority: str,
    seed: int,
    seconds: float,
    *,
    ttl: float = TTL,
    keep: Path | None = None,
    steps: Sequence[Step] | None = None,
    broken: str = "",
) -> Outcome:
    """One fleet, from its beginning to the verdict. ``keep``: where the notes go."""
    if steps is None:
        steps = plan(seed, seconds, ttl)
    for step in steps:
        say(step)
    with Scene(authority, seed, ttl, broken=broken) as scene, _kept(scene.folder, keep):
        _until_all_began(scene)
        _suffer(scene, steps, seconds)
        scene.bed.heal()
        for door in scene.redis.proxy.doors:
            door.heal()
        say("the faults are over")
        scene.notes.note("settled")
        scene.signs.give("calm")
        _tend(scene, WITHIN_TTL * ttl)
        scene.ask_where_they_stand()
        scene.notes.note("progressed")
        scene.signs.give("enough")
        idle = _until_idle(scene)
        _tend(scene, 1.5 * ttl + IDLE_SECONDS, starting=False)
        scene.notes.note("finished")
        verified, report = _verified(scene)
        terms = Terms(authority, ttl, troubles(steps), WITHIN_TTL * ttl)
        verdict = judge(terms, scene.folder)
        if not idle:
            verdict.violations.append("somebody never came back from its last turn")
        return Outcome(verdict, verified, report, scene.broke())


@contextmanager
def _kept(folder: Path, keep: Path | None) -> Iterator[None]:
    """What was written down is copied there, however it ends."""
    try:
        yield
    finally:
        if keep is not None:
            shutil.copytree(folder, keep, dirs_exist_ok=True, ignore=_sockets)


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not os.path.isfile(f"{folder}/{name}")]


def _until_all_began(scene: Scene) -> None:
    until = time.monotonic() + START_SECONDS
    while any(not _has_granted(scene, name) for name in HANDS):
        if time.monotonic() > until:
            late = [name for name in HANDS if not _has_granted(scene, name)]
            raise AssertionError(f"{late} never had a first lease: {scene.broke()}")
        time.sleep(0.3)


def _has_granted(scene: Scene, name: str) -> bool:
    notes = scene.folder / f"{name}.1.notes"
    return notes.exists() and any(line["kind"] == "granted" for line in read(notes))


def _suffer(scene: Scene, steps: Sequence[Step], seconds: float) -> None:
    began = time.monotonic()
    told = began
    threads: list[threading.Thread] = []
    trouble: list[BaseException] = []

    def suffer(step: Step) -> None:
        try:
            scene.suffer(step)
        except BaseException as error:  # noqa: BLE001 - raised below
            trouble.append(error)

    waiting = list(steps)
    while time.monotonic() < began + seconds or any(thread.is_alive() for thread in threads):
        while waiting and time.monotonic() >= began + waiting[0].at:
            thread = threading.Thread(target=suffer, args=(waiting.pop(0),))
            thread.start()
            threads.append(thread)
        if trouble:
            raise trouble[0]
        if time.monotonic() > told + 30:
            told = time.monotonic()
            leases = scene.signs.count("leases")
            say(f"{told - began:5.0f} s: {len(steps) - len(waiting)} faults, {leases} leases")
        scene.tend()
        time.sleep(TEND_SECONDS)


def _tend(scene: Scene, seconds: float, *, starting: bool = True) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if starting:
            scene.tend()
        time.sleep(TEND_SECONDS)


def _until_idle(scene: Scene) -> bool:
    until = time.monotonic() + BUSY_SECONDS
    while time.monotonic() < until:
        if all(_is_idle(scene, name) for name in HANDS):
            return True
        time.sleep(0.3)
    return False


def _is_idle(scene: Scene, name: str) -> bool:
    notes = scene.folder / f"{scene.who(name)}.notes"
    return notes.exists() and any(line["kind"] == "idle" for line in read(notes))


def _verified(scene: Scene) -> tuple[int, str]:
    if scene.authority != "volume":
        return 0, "a Redis keeps no log"
    code, report = scene.verify()
    return code, report


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--authority", choices=AUTHORITIES)
    parser.add_argument("--ttl", type=float, default=TTL)
    parser.add_argument("--broken", default="", help="a product broken on purpose: deadline")
    parser.add_argument("--keep", type=Path, help="keep the notes there, whatever comes of it")
    parser.add_argument(
        "--save", action="store_true", help="keep the JSON in benchmarks/results/torture"
    )
    arguments = parser.parse_args(words)
    if reason := missing() or missing_redis():
        say("no torture here:", reason)
        return 78
    if libfaketime() is None:
        say("no libfaketime: apt-get install faketime; nobody's wall clock is set")
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(number, signal.default_int_handler)
    good = True
    for authority in [arguments.authority] if arguments.authority else AUTHORITIES:
        say(f"== {authority}, seed {arguments.seed}, {arguments.minutes:g} min of faults")
        began = time.monotonic()
        keep = arguments.keep or Path(tempfile.mkdtemp(prefix="torture-notes-"))
        outcome = torture(
            authority,
            arguments.seed,
            60 * arguments.minutes,
            ttl=arguments.ttl,
            keep=keep / authority,
            broken=arguments.broken,
        )
        say(outcome)
        say(f"took {time.monotonic() - began:.0f} s")
        if arguments.save:
            document = outcome.document(authority, arguments.seed, arguments.minutes)
            place = RESULTS / f"torture-{authority}-{arguments.seed}.json"
            place.write_text(json.dumps(document, indent=2) + "\n")
        good = good and outcome.good
        if outcome.good and arguments.keep is None:
            shutil.rmtree(keep, ignore_errors=True)
        else:
            say(f"the notes are in {keep / authority}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
