"""Writes that no lease covers are seen, and attributed, on a real volume with two hosts."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("watchdog")

from tests.bed.moosefs import MooseFsBed
from tests.bed.redis import RedisServer
from tests.volume.fleet import Fleet, Worker, fleet, make_volume
from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import Layout
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate
from volumelease.settings import Settings
from volumelease.watch.violations import recorded

from .jobs import KINDS, prepare

JOBS = "tests.watch.jobs"
SWEEP = 3.0


@pytest.fixture
def workers() -> Iterator[Fleet]:
    with fleet() as started:
        yield started


class Kept(NamedTuple):
    """What keeps the leases of a volume: ``begin`` makes one, ``environment`` is its workers'."""

    environment: dict[str, str]
    begin: Callable[[Path, float], None]


@pytest.fixture(params=["volume", "redis"])
def kept(request: pytest.FixtureRequest) -> Kept:
    if request.param == "volume":
        return Kept({}, make_volume)
    pytest.importorskip("redis")
    server: RedisServer = request.getfixturevalue("redis_server")
    url = server.socket_url  # hosts of the bed have networks of their own

    def on_redis(mount: Path, ttl: float) -> None:
        settings = Settings(redis_url=url, authority="redis")
        volumes = Volumes(Surroundings.of_this_process()._replace(settings=settings))
        volumes.found(locate(mount, explicit=str(mount)), ready=True, ttl=ttl)

    return Kept({"VOLUMELEASE_REDIS_URL": url}, on_redis)


def violations(worker: Worker, count: int, seconds: float) -> dict[str, dict[str, Any]]:
    """The first violations it tells, by path, until there are so many or the time is over."""
    found: dict[str, dict[str, Any]] = {}
    until = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < until:
        try:
            line = worker.wait_for("violation", max(0.1, until - time.monotonic()))
        except AssertionError:
            break
        if not line["violation"]["path"].endswith(".tmp"):  # renamed away in the same moment
            found[line["violation"]["path"]] = line["violation"]
    return found


@pytest.mark.parametrize("count", [70, pytest.param(210, marks=pytest.mark.torture)])
def test_every_write_without_a_lease_is_told_with_its_origin_and_no_other(
    bed: MooseFsBed, shared_mounts: list[Path], workers: Fleet, kept: Kept, count: int
) -> None:
    kept.begin(shared_mounts[0], 6.0)
    folders = [shared_mounts[0] / "data" / name for name in ("here", "there")]
    for folder in folders:
        folder.mkdir(parents=True)
        prepare(folder, count // 2)
    time.sleep(1.1)  # a write in the second of the one before can leave all as it was
    environment = kept.environment
    detector = workers.start(
        "detect", module=JOBS, mount=shared_mounts[0], sweep=SWEEP, environment=environment
    )
    detector.wait_for("ready", 60)
    traffic = leased_traffic(bed, shared_mounts, workers, 4.0, environment)
    for number, name in enumerate(("here", "there")):
        folder = shared_mounts[number] / "data" / name
        prefix = bed.hosts[number].command([])
        injector = workers.start(
            "inject", prefix=prefix, module=JOBS, folder=folder, count=count // 2
        )
        injector.wait_for("done", 60)
    for worker in traffic:
        worker.wait_for("done", 60)
    found = violations(detector, count, SWEEP + 25)
    told = {path: one["origin"] for path, one in found.items()}
    assert told == {
        f"data/{name}/{number}": origin
        for name, origin in (("here", "local"), ("there", "remote"))
        for number in range(count // 2)
    }
    assert {KINDS[number % len(KINDS)] for number in range(count // 2)} == set(KINDS)


def leased_traffic(
    bed: MooseFsBed,
    mounts: list[Path],
    workers: Fleet,
    seconds: float,
    environment: dict[str, str],
) -> list[Worker]:
    return [
        workers.start(
            "lease",
            prefix=host.command([]),
            module=JOBS,
            folder=mount / "data",
            seconds=seconds,
            environment=environment,
        )
        for host, mount in zip(bed.hosts, mounts, strict=True)
    ]


def lost_shortly_before(one: dict[str, Any], lost: list[tuple[str, float]]) -> bool:
    """On a machine that stalls, leases are lost, and what was being written then has none."""
    return any(name in one["path"] and abs(one["seen_at"] - at) < 30 for name, at in lost)


def one_record_of_one_write(mounts: list[Path], detectors: list[Worker]) -> None:
    """Both hosts find it; who heard it tells."""
    (mounts[1] / "data" / "file").write_bytes(b"x")
    before = len(detectors[0].said)
    found = violations(detectors[1], 1, 20)
    assert found["data/file"]["origin"] == "local"
    time.sleep(SWEEP + 2)
    detectors[0].has_said("violation")
    assert len(detectors[0].said) == before
    identity = Monitor(Files()).run(founding.read_identity(str(mounts[0])))
    assert identity is not None
    records = recorded(Layout.of(str(mounts[0]), identity))
    assert [one.as_document() for one in records][-1] == found["data/file"]
    assert sum(one.path == "data/file" for one in records) == 1


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_ten_minutes_of_leased_writes_of_two_hosts_are_no_violations(
    bed: MooseFsBed, shared_mounts: list[Path], workers: Fleet, kept: Kept
) -> None:
    seconds = float(os.environ.get("LEASED_SECONDS", "600"))
    kept.begin(shared_mounts[0], 15.0)  # who loses a lease on a busy machine writes without one
    (shared_mounts[0] / "data").mkdir()
    detectors = [
        workers.start("detect", module=JOBS, mount=mount, sweep=SWEEP, environment=kept.environment)
        for mount in shared_mounts
    ]
    for detector in detectors:
        detector.wait_for("ready", 60)
    traffic = leased_traffic(bed, shared_mounts, workers, seconds, kept.environment)
    for worker in traffic:
        worker.wait_for("done", seconds + 120)
    lost = [(line["lost"], line["at"]) for w in traffic for line in w.said if "lost" in line]
    time.sleep(SWEEP + 4)
    for detector in detectors:
        detector.has_said("violation")
        told = [line["violation"] for line in detector.said if "violation" in line]
        print(f"{len(told)} violations told, lost: {lost}")
        assert not [one for one in told if not lost_shortly_before(one, lost)]
    one_record_of_one_write(shared_mounts, detectors)
    for detector in detectors:
        detector.tell_to_go_on()
        ended = detector.wait_for("gauges")
        assert ended["trouble"] == ""
        assert ended["gauges"]["watches"] == ended["gauges"]["watched_directories"] > 0
    total = sum(line.get("writes", 0) for worker in traffic for line in worker.said)
    print(f"{total} leased writes; beats: {[worker.said[-1]['beats'] for worker in traffic]}")
    assert total > seconds, "there was traffic"


def test_an_overflow_of_events_is_counted_and_nothing_is_missed(
    tmp_path: Path, workers: Fleet
) -> None:
    root = tmp_path / "volume"
    (root / "data").mkdir(parents=True)
    make_volume(root, 6.0)
    detector = workers.start("detect", module=JOBS, mount=root, sweep=SWEEP)
    detector.wait_for("ready", 60)
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    count = min(limit // 3 + 500, 20_000)  # each is created, written and closed
    detector.signal(signal.SIGSTOP)
    for number in range(count):
        (root / "data" / f"{number}").write_bytes(b"x")
    detector.signal(signal.SIGCONT)
    found = violations(detector, count, 60)
    assert len(found) == count
    assert {one["origin"] for one in found.values()} <= {"local", "unknown"}
    detector.tell_to_go_on()
    ended = detector.wait_for("gauges")
    assert ended["overflows"] >= 1
    assert ended["counts"]["watch_overflows_total"] == ended["overflows"]
    counted = sum(n for key, n in ended["counts"].items() if key.startswith("violations_total"))
    assert counted == count


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_a_hundred_thousand_files_are_swept_within_a_minute(
    bed: MooseFsBed, shared_mounts: list[Path], workers: Fleet
) -> None:
    make_volume(shared_mounts[0], 6.0)
    for folder in range(100):
        here = shared_mounts[0] / "data" / f"{folder}"
        here.mkdir(parents=True)
        for number in range(1000):
            os.mknod(here / f"{number}")
    detector = workers.start("detect", module=JOBS, mount=shared_mounts[0], sweep=1.0)
    detector.wait_for("ready", 300)
    (shared_mounts[1] / "data" / "77" / "777").write_bytes(b"x")
    began = time.monotonic()
    found = violations(detector, 1, 120)
    assert found["data/77/777"]["origin"] == "remote"
    assert time.monotonic() - began < 90
    detector.tell_to_go_on()
    ended = detector.wait_for("gauges")
    assert ended["gauges"]["watches"] == ended["gauges"]["watched_directories"] == 101
    assert ended["cpu_seconds"] < 0.6 * ended["seconds"], "a sweep takes a share of the time"
