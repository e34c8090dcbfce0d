"""Two hosts, one volume: leases exclude each other."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest

from .fleet import fleet, make_volume

pytestmark = pytest.mark.bed

LEASES: Final = 2_500
"""Of each of the four processes: 20,000 commits together."""


@pytest.mark.timeout(180)
def test_eight_processes_on_two_hosts_never_overlap_and_none_starves(
    shared_mounts: list[Path],
) -> None:
    make_volume(shared_mounts[0], ttl=15)
    with fleet() as workers:
        contenders = [
            workers.start("contend", mount=shared_mounts[number % 2], seconds=20, seed=number)
            for number in range(8)
        ]
        grants = [worker.wait_for("grants", 60)["grants"] for worker in contenders]
        assert [worker.process.wait(20) for worker in contenders] == [0] * 8
    mean = sum(grants) / len(grants)
    print(f"grants {sorted(grants)}, mean {mean:.0f}, slowest {min(grants) / mean:.2f} of it")
    assert min(grants) >= mean / 3


@pytest.mark.torture
@pytest.mark.timeout(240)
def test_many_commits_leave_one_table_everywhere_and_old_segments_go(
    shared_mounts: list[Path],
) -> None:
    """Four processes; two commits a lease."""
    make_volume(shared_mounts[0], ttl=10)
    (base,) = [p for p in (shared_mounts[0] / ".volumelease").iterdir() if p.is_dir()]
    with fleet() as workers:
        writers = [
            workers.start("commits", mount=shared_mounts[number % 2], count=LEASES, retention=15.0)
            for number in range(4)
        ]
        for worker in writers:
            worker.wait_for("done", 120)
        done_at = time.monotonic()
        while not _tidy(base) and time.monotonic() < done_at + 60:
            time.sleep(0.5)  # their sessions live on and clean up
        print(f"cleaned up {time.monotonic() - done_at:.1f} s after the last commit")
        assert _tidy(base)
        for worker in writers:
            worker.tell_to_go_on()
        ends = [worker.wait_for("next_index") for worker in writers]
        assert all(worker.process.wait(30) == 0 for worker in writers)
    assert [(end["garbage"], end["lost"]) for end in ends] == [(0, "")] * 4
    tables = {(end["next_index"], end["digest"]) for end in ends}
    assert len({index for index, _ in tables}) == len(tables), "one index, two tables"
    assert max(end["next_index"] for end in ends) >= 8 * LEASES


def _tidy(base: Path) -> bool:
    """Nothing is left of the past: no retired segment, no draft that lost."""
    left = _segments(base / "retired") or _segments(base / "drafts")
    return not left and len(_segments(base / "log")) <= 3


def _segments(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir()]
