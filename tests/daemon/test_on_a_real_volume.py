"""A daemon on a real volume: it hangs, it comes back, and other hosts are granted in time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bed import MooseFsBed, missing
from tests.bed.container import Container
from tests.volume.fleet import ROOT, Worker
from volumelease.client.connecting import Line
from volumelease.errors import AuthorityUnreachable, LeaseError

from .outside import Scene
from .test_worker import HOLDER, python, worker

pytestmark = pytest.mark.bed


@pytest.fixture(scope="module")
def bed() -> Iterator[MooseFsBed]:
    if (reason := missing()) is not None:
        pytest.skip(reason)
    with MooseFsBed(hosts=2) as started:
        yield started


@pytest.fixture
def scene(bed: MooseFsBed, tmp_path: Path) -> Iterator[Scene]:
    """With the volume as the first host sees it. This process itself keeps nothing open there."""
    root = bed.hosts[0].mount / tmp_path.name
    root.mkdir()
    command = [sys.executable, "-m", "volumelease", "init", str(root), "--ttl", "6"]
    subprocess.run(command, check=True, capture_output=True)
    with Scene(tmp_path, ttl=6.0, root=root) as made:
        yield made


@pytest.mark.torture
def test_a_volume_that_hangs_is_told_of_and_used_again_when_it_is_back(
    bed: MooseFsBed, scene: Scene
) -> None:
    scene.start()
    path = str(scene.root / "a")
    with (
        Line(str(scene.socket), events=False) as line,
        Line(str(scene.socket), events=False) as other,
    ):
        answer = line.ask("acquire", {"paths": [path]})
        assert answer["is"] == "granted"
        bed.stop_master()
        try:
            for do, fields in (
                ("release", {"token": answer["token"]}),
                ("acquire", {"claims": [["b"]]}),
                ("acquire", {"paths": [str(scene.root / "c")]}),
                ("attach", {"path": str(scene.root / "d")}),
            ):
                began = time.monotonic()
                with pytest.raises(AuthorityUnreachable, match="did not answer"):
                    line.ask(do, {**fields, "seconds": 1.0})
                assert time.monotonic() - began < 8.0
                assert other.ask("ping", {}) == {"is": "pong"}
        finally:
            bed.start_master()
        assert granted(line, str(scene.root / "e"), 60.0)


def granted(line: Line, path: str, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if line.ask("acquire", {"paths": [path], "seconds": 5.0})["is"] == "granted":
                return True
        except LeaseError:
            pass
        time.sleep(0.2)
    return False


def test_another_host_is_granted_when_a_handler_is_killed(bed: MooseFsBed, scene: Scene) -> None:
    scene.start()
    holder = scene.client("hold_with_child", writes=False)
    child = holder.wait_for("child")["child"]
    root = bed.hosts[1].mount / scene.root.name
    waiter = Worker(
        "hold",
        {"path": str(root / "a"), "environment": {"VOLUMELEASE_VOLUME": str(root)}},
        module="tests.daemon.jobs",
    )
    scene.workers.append(waiter)
    time.sleep(1.5)
    killed = time.monotonic()
    holder.process.kill()
    waiter.wait_for("token")
    waited = time.monotonic() - killed
    print(f"granted on the other host {waited * 1000:.0f} ms after the kill")
    assert waited < 2.0
    subprocess.run(["kill", "-KILL", str(child)], check=True)


def test_another_host_is_granted_when_a_whole_container_is_killed(
    bed: MooseFsBed, scene: Scene
) -> None:
    """Its ttl is 6 s; who waits on another host sees its life lock free."""
    told = {**scene.environment, "PYTHONPATH": str(ROOT / "src")}
    holder = python(HOLDER, path=str(scene.root / "a"))
    settings = [f"{name}={value}" for name, value in told.items()]
    command = ["env", *settings, *worker(*holder)]
    with Container(command, host=bed.hosts[0]) as container:
        assert container.process.stdout is not None
        assert container.process.stdout.readline().startswith("token")
        root = bed.hosts[1].mount / scene.root.name
        waiter = Worker(
            "hold",
            {"path": str(root / "a"), "environment": {"VOLUMELEASE_VOLUME": str(root)}},
            module="tests.daemon.jobs",
        )
        scene.workers.append(waiter)
        time.sleep(2.5)
        killed = time.monotonic()
        container.kill()
        waiter.wait_for("token")
        waited = time.monotonic() - killed
    print(f"granted on the other host {waited * 1000:.0f} ms after the container was killed")
    assert waited < 3.0
