"""A process is stopped, killed, or its answer lost, before and after every call of a commit, a beat
and a turnover of segments: the log stays one log and everybody goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from .fleet import Fleet, Worker, fleet, make_volume

pytestmark = pytest.mark.bed

TTL: Final = 2.0

KINDS: Final = {
    # what goes on, entries of the segment before it, calls it may make, in which thread
    "commit": (10, 2, "MainThread"),
    "beat": (10, 5, "volumelease-beat"),
    "turnover": (239, 14, "MainThread"),
}

CASES: Final = [
    (kind, number, moment, what)
    for kind, (_, calls, _) in KINDS.items()
    for number in range(1, calls + 1)
    for moment in ("before", "after")
    for what in ("stop", "kill", "lose", "resend")
    if not (what == "resend" and moment == "before")
]


def _suffer(workers: Fleet, mount: Path, case: tuple[str, int, str, str]) -> Worker:
    kind, number, moment, what = case
    before, _, thread = KINDS[kind]
    return workers.start(
        "suffer",
        mount=mount,
        kind=kind,
        number=number,
        moment=moment,
        what=what,
        before=before,
        thread=thread,
    )


def _short(case: tuple[str, int, str, str]) -> str:
    return "-".join(str(part) for part in case)


def _go_through(case: tuple[str, int, str, str], mounts: list[Path], target: str) -> None:
    what = case[3]
    with fleet() as workers:
        victim = _suffer(workers, mounts[1], case)
        victim.wait_for("ready")
        if what == "stop":
            until = time.monotonic() + 5
            while not victim.stopped() and victim.process.poll() is None:
                if time.monotonic() > until:
                    break
                time.sleep(0.02)
            if victim.stopped():
                time.sleep(TTL + 1.5)
                victim.process.send_signal(18)
        if what == "kill":
            victim.process.wait(10)
        # whatever happened, another host gets every path, and the log is one log
        heir = workers.start("take", mount=mounts[0], path=target)
        heir.wait_for("granted", 3 * TTL + 10)
        assert heir.finish() == 0
        if victim.process.poll() is None:
            victim.wait_for("finished", 20)
            assert victim.finish() == 0, "".join(victim.errors)
            assert victim.wait_for("digest")["garbage"] == 0


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", [c for i, c in enumerate(CASES) if i % 11 == 0], ids=_short)
def test_an_accident_leaves_one_log_and_no_grant_without_a_waiter(
    case: tuple[str, int, str, str], shared_mounts: list[Path]
) -> None:
    make_volume(shared_mounts[0], ttl=TTL)
    _go_through(case, shared_mounts, "target")
    _go_through_again(shared_mounts)


@pytest.mark.torture
@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", CASES, ids=_short)
def test_every_accident_leaves_one_log_and_no_grant_without_a_waiter(
    case: tuple[str, int, str, str], shared_mounts: list[Path]
) -> None:
    make_volume(shared_mounts[0], ttl=TTL)
    _go_through(case, shared_mounts, "target")
    _go_through_again(shared_mounts)


def _go_through_again(mounts: list[Path]) -> None:
    """A newcomer on either host reads the whole log and gets the whole volume at once."""
    with fleet() as workers:
        tables = []
        for mount in mounts:
            late = workers.start(
                "suffer",
                mount=mount,
                kind="commit",
                number=0,
                moment="before",
                what="none",
                before=0,
                thread="none",
            )
            late.wait_for("finished", 3 * TTL + 10)
            assert late.finish() == 0
            tables.append(late.wait_for("digest"))
        assert all(table["garbage"] == 0 and not table["lost"] for table in tables)
