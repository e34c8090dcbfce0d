"""The example handlers under the SDK's own loop, on a stand-in of the platform."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bed.moosefs import MooseFsBed
from tests.cli.conftest import make_volume
from tests.cli.shell import ROOT, environment, eventually
from tests.cli.shell import run as volumelease
from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import Layout
from volumelease.clock import SystemClock
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.host import this_process
from volumelease.tallies import Tally
from volumelease.watch.violations import Violation

from .job_server import Job, JobServer
from .workers import CONTAINER, CONTAINER_WITH_DAEMON, PLAIN, WITH_DAEMON, SdkWorker

pytestmark = [
    pytest.mark.skipif(
        find_spec("runpod") is None, reason="no runpod package: pip install -e '.[platform]'"
    ),
    pytest.mark.timeout(400),
]

PATIENCE: Final = 120.0
"""Seconds. A worker imports the SDK for two, and for much longer on a machine that is busy."""

SLOW: Final = ROOT / "tests" / "sdk" / "slow_handler.py"


@pytest.fixture
def server() -> Iterator[JobServer]:
    with JobServer(doubles=0.1) as serving:
        yield serving


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return make_volume(tmp_path / "volume", ttl=3.0)


def rows(volume: Path) -> list[dict[str, Any]]:
    dataset = volume / "results/answers.jsonl"
    return [json.loads(line) for line in dataset.read_text().splitlines()]


def facts(command: str, path: Path) -> dict[str, Any]:
    """What that command tells programs."""
    result = volumelease(command, path, "--json", seconds=PATIENCE)
    assert result.returncode == 0, result.stdout + result.stderr
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def publishes_of(volume: Path, path: str) -> int:
    told = facts("history", volume / path)
    return sum(len(lease["publishes"]) for lease in told["leases"])


def verified(volume: Path) -> None:
    assert facts("verify", volume)["clean"]


@contextmanager
def detecting(volume: Path) -> Iterator[list[Violation]]:
    """What is written without a lease below the roots of the examples, told within seconds."""
    pytest.importorskip("watchdog")
    from volumelease.watch.detector import Detector

    identity = Monitor(Files()).run(founding.read_identity(str(volume)))
    assert identity is not None
    told: list[Violation] = []
    roots = ("models", "results")
    for root in roots:
        (volume / root).mkdir(exist_ok=True)
    detector = Detector(
        Layout.of(str(volume), identity),
        roots,
        SystemClock(),
        this_process(),
        Tally(),
        told.append,
        (3.0, 3.0),
    )
    detector.start()
    try:
        yield told
    finally:
        detector.close()


def not_blind(volume: Path, told: list[Violation]) -> None:
    """A write without a lease is told, so silence meant something."""
    subprocess.run(["sh", "-c", f"echo x >{volume}/results/unleased"], check=True)
    eventually(lambda: [one for one in told if one.path == "results/unleased"], PATIENCE)


# ---- many jobs, and workers that are killed


class Fleet:
    """Workers of two endpoints: ``sync`` runs handler.py, ``async`` handler_async.py."""

    HANDLERS: Final = (("sync", "handler.py"), ("async", "handler_async.py"))

    def __init__(self, server: JobServer, folder: Path, stack: ExitStack, seed: int) -> None:
        self._server, self._folder, self._stack = server, folder, stack
        self._numbers = count()
        self.chance = random.Random(seed)
        self.workers: list[SdkWorker] = []
        self.accidents: list[str] = []

    def start(self, volume: Path, kind: str, endpoint: int) -> None:
        name, handler = self.HANDLERS[endpoint]
        worker = SdkWorker(
            self._server,
            name,
            f"{name}-{next(self._numbers)}",
            volume,
            self._folder,
            handler=handler,
            kind=kind,
            more={"WORK_SECONDS": "0.02"},
        )
        self.workers.append(self._stack.enter_context(worker))

    def replace(self, worker: SdkWorker) -> None:
        self.workers.remove(worker)
        self.start(worker.volume, worker.kind, worker.endpoint == "async")

    def kill_who_downloads(self, volume: Path) -> None:
        (name,) = [one["worker"] for one in facts("status", volume)["leases"]]
        (worker,) = [one for one in self.workers if one.name == name]
        worker.kill()
        self.replace(worker)

    def have_an_accident(self, kinds: Sequence[str], stop_seconds: float) -> None:
        worker, kind = self.chance.choice(self.workers), self.chance.choice(kinds)
        self.accidents.append(f"{kind} {worker.kind}")
        match kind:
            case "kill the handler":  # as the kernel does that is out of memory
                worker.signal_handler(signal.SIGKILL)
                time.sleep(0.3)
                worker.kill()
                self.replace(worker)
            case "kill the container":
                worker.kill()
                self.replace(worker)
            case "end":
                worker.terminate()
                self.replace(worker)
            case "stand still":
                worker.signal_all(signal.SIGSTOP)
                time.sleep(stop_seconds)
                worker.signal_all(signal.SIGCONT)


def every_job_once(server: JobServer, volume: Path, jobs: list[Job]) -> None:
    """Each job's effect is there exactly once, by one and the same model, even if the first and
    the last are delivered once more."""
    server.deliver_again((*jobs[:2], *jobs[-2:]), PATIENCE)
    assert [job.state for job in jobs] == ["COMPLETED"] * len(jobs), [job.errors for job in jobs]
    written = [row["job"] for row in rows(volume)]
    assert sorted(written) == sorted(job.id for job in jobs)
    assert {row["answer"] for row in rows(volume)} == {job.input["prompt"].upper() for job in jobs}
    weights = (volume / "models/shouting/weights").read_bytes()
    assert sha256(weights).digest() in {sha256(one).digest() for one in server.downloads}
    assert publishes_of(volume, "models/shouting") == 1
    verified(volume)


def test_one_worker_downloads_and_every_job_takes_effect_once_though_workers_are_killed(
    server: JobServer, volume: Path, tmp_path: Path
) -> None:
    server.model_seconds = 1.0
    with ExitStack() as stack:
        told = stack.enter_context(detecting(volume))
        fleet = Fleet(server, tmp_path, stack, seed=1)
        for number, kind in enumerate((PLAIN, WITH_DAEMON, PLAIN)):
            fleet.start(volume, kind, number % 2)
        jobs = [server.submit(Fleet.HANDLERS[n % 2][0], prompt=f"say {n}") for n in range(30)]
        for wanted in (3, 12):
            server.wait_until(partial(enough, jobs, wanted), PATIENCE)
            fleet.have_an_accident(("kill the handler", "kill the container"), 0.0)
        server.wait_for(jobs, PATIENCE)
        every_job_once(server, volume, jobs)
        assert len(server.downloads) == 1
        assert not told
        not_blind(volume, told)


def done(jobs: list[Job]) -> int:
    return sum(job.over for job in jobs)


def enough(jobs: list[Job], wanted: int, until: float = math.inf) -> bool:
    """Whether so many are done, or that moment has come."""
    return done(jobs) >= wanted or time.monotonic() > until


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_300_jobs_on_a_real_volume_take_effect_once_though_workers_are_killed(
    bed: MooseFsBed, shared_mounts: list[Path], tmp_path: Path
) -> None:
    seed = int(os.environ.get("SEED", "1"))
    init = [sys.executable, "-m", "volumelease", "init", str(shared_mounts[0]), "--ttl", "6"]
    subprocess.run(init, env=environment(), check=True, capture_output=True)
    kinds = (PLAIN, CONTAINER, CONTAINER_WITH_DAEMON)
    accidents = ("kill the handler", "kill the container", "end", "stand still")
    with ExitStack() as stack:
        server = stack.enter_context(JobServer(doubles=0.05, seed=seed))
        server.download_goes_on.clear()
        told = stack.enter_context(detecting(shared_mounts[0]))
        fleet = Fleet(server, tmp_path, stack, seed)
        for number in range(6):
            fleet.start(shared_mounts[number // 2 % 2], kinds[number // 2], number % 2)
        jobs = [server.submit(Fleet.HANDLERS[n % 2][0], prompt=f"say {n}") for n in range(300)]
        began = time.monotonic()
        server.wait_until(lambda: server.downloads_begun > 0, PATIENCE)
        fleet.kill_who_downloads(shared_mounts[0])
        server.download_goes_on.set()
        while done(jobs) < len(jobs):
            pause = time.monotonic() + fleet.chance.uniform(1.0, 5.0)
            server.wait_until(partial(enough, jobs, len(jobs), pause), PATIENCE)
            if done(jobs) < len(jobs):
                fleet.have_an_accident(accidents, 9.0)
            assert time.monotonic() - began < 1500, f"{done(jobs)} jobs done"
        print(
            f"seed {seed}: {len(jobs)} jobs in {time.monotonic() - began:.0f} s, "
            f"{server.results} results, {len(fleet.accidents)} accidents, "
            f"{server.downloads_begun} downloads begun, errors retried: "
            f"{sorted(kind_of(error) for job in jobs for error in job.errors)}"
        )
        assert server.downloads_begun > 1
        every_job_once(server, shared_mounts[0], jobs)
        assert not told
        not_blind(shared_mounts[0], told)


def kind_of(error: str) -> str:
    try:
        return str(json.loads(error)["error_type"])
    except (ValueError, KeyError):
        return error[:80]


# ---- one job


def test_a_lost_lease_is_an_error_of_the_job_and_a_retry_cures_it(
    server: JobServer, tmp_path: Path
) -> None:
    handlers = ("handler.py", "handler_async.py", "handler_stream.py")
    paths = ("results/answers.jsonl", "results/answers.jsonl", "results/streams/job-job-2")
    with ExitStack() as stack:
        volumes, jobs = [], []
        for handler in handlers:
            volumes.append(make_volume(tmp_path / handler, ttl=15.0))
            inside = {"INSIDE": str(tmp_path), "EXAMPLE": handler}
            stack.enter_context(
                SdkWorker(
                    server, handler, handler, volumes[-1], tmp_path, handler=SLOW, more=inside
                )
            )
            jobs.append(server.submit(handler, prompt="word"))
        flags = [tmp_path / name for name in ("job-0", "job-1", "word")]
        for flag, volume, path in zip(flags, volumes, paths, strict=True):
            eventually(flag.exists, PATIENCE)
            take_away(volume, path)
        (tmp_path / "go").touch()
        server.wait_for(jobs, PATIENCE)
    for job in jobs:
        assert job.state == "COMPLETED"
        assert len(job.errors) == 1
        assert "LeaseLost" in job.errors[0], job.errors
        assert job.tries == 2
    for volume in volumes[:2]:
        assert len(rows(volume)) == 1
    assert [file.name for file in (volumes[2] / paths[2]).iterdir()] == ["0000.txt"]
    for volume in volumes:
        verified(volume)


def take_away(volume: Path, path: str) -> None:
    """Break the lease that is held there, at once."""
    told = facts("status", volume)
    (lease,) = told["leases"]
    words = ("--token", lease["token"], "--reason", "a test", "--force")
    broken = volumelease("break", volume / path, *words, seconds=PATIENCE)
    assert broken.returncode == 0, broken.stdout + broken.stderr


@pytest.mark.parametrize(("work", "grace", "tries"), [("1", "60", 1), ("600", "1", 2)])
def test_a_job_that_sigterm_comes_into_is_finished_or_done_by_another(
    volume: Path, tmp_path: Path, work: str, grace: str, tries: int
) -> None:
    with JobServer() as server, ExitStack() as stack:

        def start(name: str, **more: str) -> SdkWorker:
            worker = SdkWorker(
                server,
                "sync",
                name,
                volume,
                tmp_path,
                handler="handler.py",
                kind=WITH_DAEMON,
                grace=grace,
                more=more,
            )
            return stack.enter_context(worker)

        first = start("first", WORK_SECONDS=work)
        job = server.submit("sync", prompt="hello")
        eventually((volume / "models/shouting").exists, PATIENCE)
        first.terminate()
        first.process.wait(PATIENCE)
        server.bury("first")
        assert job.over == (tries == 1)
        if not job.over:
            start("second")
            server.wait_for([job], PATIENCE)
    assert job.state == "COMPLETED"
    assert job.tries == tries
    assert [row["job"] for row in rows(volume)] == [job.id]


def test_a_job_that_is_stopped_lets_go_of_its_lease_and_the_worker_goes_on(
    server: JobServer, volume: Path, tmp_path: Path
) -> None:
    inside = {"INSIDE": str(tmp_path), "EXAMPLE": "handler_async.py"}
    with SdkWorker(server, "async", "one", volume, tmp_path, handler=SLOW, more=inside):
        job = server.submit("async", prompt="stopped")
        eventually((tmp_path / job.id).exists, PATIENCE)
        server.stop(job)
        eventually(lambda: not held(volume), PATIENCE)
        (tmp_path / "go").touch()
        after = server.submit("async", prompt="after")
        server.wait_for([after], PATIENCE)
    assert [row["job"] for row in rows(volume)] == [after.id]


def held(volume: Path) -> Any:
    return facts("status", volume)["leases"]


def test_what_a_generator_streamed_is_there_whole_and_is_streamed_again(
    server: JobServer, volume: Path, tmp_path: Path
) -> None:
    def words(job: Job) -> list[str]:
        return [one["word"] for one in job.streamed]

    with SdkWorker(server, "s", "one", volume, tmp_path, handler="handler_stream.py"):
        first = server.submit("s", prompt="hello you", request="../../mine")
        server.wait_for([first], PATIENCE)
        again = server.submit("s", prompt="other words", request="../../mine")
        server.wait_for([again], PATIENCE)
    assert words(first) == words(again) == ["HELLO", "YOU"]
    assert first.output == again.output == [{"word": "HELLO"}, {"word": "YOU"}]
    (place,) = (volume / "results/streams").iterdir()
    assert sorted(file.read_text() for file in place.iterdir()) == ["HELLO", "YOU"]
