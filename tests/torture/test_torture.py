"""What hands write down of a real product is judged as it was, and a broken one is found. (A whole
torture is ``make torture``.)"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any, Final

from tests.volume.fleet import make_volume

from . import crew
from .judging import Terms, Verdict, judge
from .notes import Note, read

TTL: Final = 2.0
HOLD_SECONDS: Final = 60.0


def stopped_while_it_held(folder: Path, broken: str) -> Verdict:
    """One hand stands still inside its lease for so long that a second one is granted it."""
    root = folder / "volume"
    root.mkdir()
    make_volume(root, TTL)
    started = []
    try:
        started.append(start(folder, "first", broken))
        heard(folder, "first", "granted")
        started[0].send(signal.SIGSTOP)
        started.append(start(folder, "second", broken))
        heard(folder, "second", "granted")
        started[0].send(signal.SIGCONT)
        if broken:
            heard(folder, "first", "good", after=heard(folder, "second", "good")["at"])
        else:
            heard(folder, "first", "noticed")
    finally:
        for one in started:
            one.end()
    return judge(Terms("volume", TTL, ("stop",), 2 * TTL), folder)


def start(folder: Path, name: str, broken: str) -> crew.Started:
    facts: dict[str, Any] = {
        "mount": str(folder / "volume"),
        "folder": str(folder),
        "notes": str(folder / f"{name}.notes"),
        "seed": name,
        "ttl": TTL,
        "pace": 0.1,
        "own": name,
        "watch": "volume",
        "steady": ["a", HOLD_SECONDS],
    }
    if broken:
        facts["broken"] = broken
    around = crew.environment(folder / "volume", folder, TTL)
    return crew.Started(crew.hand(facts), around, folder / f"{name}.log")


def heard(folder: Path, name: str, kind: str, after: float = 0.0) -> Note:
    """The first note of that kind, once it is there."""
    path, until = folder / f"{name}.notes", time.monotonic() + 60
    while time.monotonic() < until:
        for note in read(path) if path.exists() else ():
            if note["kind"] == kind and note["at"] > after:
                return note
        time.sleep(0.05)
    raise AssertionError(f"{name} never said {kind}: {(folder / f'{name}.log').read_text()}")


def test_a_lease_that_ignores_its_deadline_is_found(tmp_path: Path) -> None:
    verdict = stopped_while_it_held(tmp_path, "deadline")
    print(verdict)
    assert any(": exclusion: " in violation for violation in verdict.violations)


def test_the_product_itself_notices_and_passes(tmp_path: Path) -> None:
    verdict = stopped_while_it_held(tmp_path, "")
    print(verdict)
    assert not verdict.violations
    assert verdict.leases == 2
