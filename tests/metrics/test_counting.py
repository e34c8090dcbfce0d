"""What a process counts about its own leases."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from volumelease import LeaseLost, LeaseTimeout
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate
from volumelease.settings import Settings
from volumelease.tallies import Counts

WAITER = """
import sys
from volumelease import volume_lease
with volume_lease(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    settings = Settings(roots=("models", "models/deep", "cache"))
    volumes = Volumes(Surroundings.of_this_process()._replace(settings=settings))
    volumes.found(locate(tmp_path, explicit=str(tmp_path)), ready=True, ttl=6.0)
    yield volumes
    volumes.close()


def counts(volumes: Volumes, root: Path) -> Counts:
    return volumes.session(locate(root, explicit=str(root))).tally.counts()


def total(found: Counts, *key: str) -> float:
    """How often it was counted."""
    values = found.values.get(key, [0.0])
    return sum(values[:-1]) if len(values) > 1 else values[0]


def test_each_lease_is_counted_at_its_begin_and_at_its_end(
    tmp_path: Path, volumes: Volumes
) -> None:
    with volume_lease(tmp_path / "models" / "a", volumes=volumes) as lease:
        with volume_lease(tmp_path / "models" / "a", volumes=volumes):
            pass  # within its own: no lease of its own
        found = counts(volumes, tmp_path)
        assert total(found, "acquire_duration_seconds", "models", "acquired") == 1
        assert total(found, "hold_duration_seconds", "models", "released") == 0
        with lease.stage() as draft:
            draft.touch()
    with volume_lease(tmp_path / "models/deep/er", tmp_path / "x", volumes=volumes):
        pass
    with volume_lease(tmp_path / "modelsx", volumes=volumes):
        pass

    async def with_a_loop() -> None:
        async with volume_lease(tmp_path / "cache", volumes=volumes):
            pass

    asyncio.run(with_a_loop())
    found = counts(volumes, tmp_path)
    for scope in ("models", "models/deep", "cache", "other"):
        assert total(found, "acquire_duration_seconds", scope, "acquired") == 1, scope
        assert total(found, "hold_duration_seconds", scope, "released") == 1, scope
    assert total(found, "publishes_total", "models") == 1
    assert total(found, "log_commits_total") >= 11
    assert not [key for key in found.values if key[0] == "lost_total"]


def test_what_did_not_end_well_is_counted_as_that(tmp_path: Path, volumes: Volumes) -> None:
    with volume_lease(tmp_path / "cache", volumes=volumes):
        hosted = volumes.session(locate(tmp_path, explicit=str(tmp_path)))
        second = Volumes(volumes.surroundings)  # as another worker
        with pytest.raises(LeaseTimeout):
            volume_lease(tmp_path / "cache", timeout=0, volumes=second).__enter__()
        timeouts = counts(second, tmp_path)
        second.close()
    assert total(timeouts, "acquire_duration_seconds", "cache", "timeout") == 1
    with pytest.raises(LeaseLost), volume_lease(tmp_path / "models", volumes=volumes):
        hosted.session.pulse.lose("the machine was suspended")
    found = hosted.tally.counts()
    assert total(found, "lost_total", "models", "paused") == 1
    assert total(found, "hold_duration_seconds", "models", "lost") == 1
    with volume_lease(tmp_path / "cache", volumes=volumes):
        again = counts(volumes, tmp_path)
    assert total(again, "lost_total", "models", "paused") == 1, "a new session goes on counting"


def test_a_lease_taken_from_the_dead_is_counted_by_who_took_it(
    tmp_path: Path, volumes: Volumes
) -> None:
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "VOLUMELEASE_VOLUME": str(tmp_path)}
    victim = subprocess.Popen(
        [sys.executable, "-c", WAITER, str(tmp_path / "models")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with victim:
        assert victim.stdout is not None
        victim.stdout.readline()
        victim.send_signal(signal.SIGKILL)
    with volume_lease(tmp_path / "models", volumes=volumes):
        found = counts(volumes, tmp_path)
    assert total(found, "takeovers_total", "models", "death") == 1


def test_a_write_that_the_guard_stops_is_counted(tmp_path: Path) -> None:
    script = f"""
from volumelease import LeaseViolation, volume_lease
from volumelease.leases.process import of_this_process
from volumelease.paths.locate import locate
with volume_lease({str(tmp_path / "a")!r}):
    for _ in range(3):
        try:
            open({str(tmp_path / "b")!r}, "w")
        except LeaseViolation:
            continue
root = locate({str(tmp_path)!r}, explicit={str(tmp_path)!r})
found = of_this_process().session(root).tally.counts()
print(found.values["denied_writes_total", "python"][0])
"""
    Volumes(Surroundings.of_this_process()).found(
        locate(tmp_path, explicit=str(tmp_path)), ready=True, ttl=6.0
    )
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "3.0", done.stderr
