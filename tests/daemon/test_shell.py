"""The client in shell, which was written from PROTOCOL.md alone."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.volume.fleet import ROOT
from volumelease import LeaseTimeout, volume_lease

from .outside import Scene

SCRIPT = ROOT / "deploy/examples/lease.sh"

pytestmark = pytest.mark.skipif(shutil.which("socat") is None, reason="socat is not installed")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path, ttl=3.0) as made:
        made.start()
        yield made


def start(scene: Scene, *command: str, path: str = "a") -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", str(SCRIPT), str(scene.root / path), *command],
        env={**scene.environment, "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free(scene: Scene) -> bool:
    try:
        with volume_lease(scene.root / "a", timeout=0, volumes=scene.volumes):
            return True
    except LeaseTimeout:
        return False


def test_a_command_runs_under_its_lease_and_keeps_its_exit_code(scene: Scene) -> None:
    script = start(
        scene, "sh", "-c", "echo $VOLUMELEASE_TOKEN; read never </dev/tty; sleep 1; exit 7"
    )
    assert script.stdout is not None
    assert int(script.stdout.readline()) >= 1
    assert not free(scene)
    assert script.wait(20) == 7
    assert free(scene)
    script.communicate()


def test_it_waits_until_it_is_told_that_it_was_granted(scene: Scene) -> None:
    with volume_lease(scene.root / "a", volumes=scene.volumes):
        script = start(scene, "echo", "ran")
        assert script.stderr is not None
        assert "waiting for" in script.stderr.readline()
    out, _ = script.communicate(timeout=20)
    assert (script.returncode, out) == (0, "ran\n")


def test_a_command_that_ends_at_once_is_not_waited_for_any_longer(scene: Scene) -> None:
    """Many at a time: so that what watches over it has only just begun then."""
    for _ in range(5):
        scripts = [start(scene, "echo", "ran", path=f"many{number}") for number in range(12)]
        try:
            for script in scripts:
                out, err = script.communicate(timeout=20)
                assert (script.returncode, out) == (0, "ran\n"), err
        finally:
            for script in scripts:
                script.kill()


def test_a_command_whose_daemon_was_killed_is_ended(scene: Scene) -> None:
    script = start(scene, "sh", "-c", "echo begun; exec sleep 60")
    assert script.stdout is not None
    script.stdout.readline()
    scene.daemons[0].kill()
    began = time.monotonic()
    assert script.wait(20) == 76
    assert time.monotonic() - began < 15.0
    script.communicate()


def test_a_command_whose_daemon_does_not_answer_is_ended_in_time(scene: Scene) -> None:
    """Even one that is deaf to SIGTERM: another may have the lease before the daemon goes on."""
    deaf = "trap '' TERM; echo begun; while :; do sleep 0.1; done"
    script = start(scene, "sh", "-c", deaf)
    assert script.stdout is not None
    script.stdout.readline()
    scene.daemons[0].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    with volume_lease(scene.root / "a", timeout=30, volumes=scene.volumes):
        assert script.wait(1) == 76
    assert time.monotonic() - stopped < 20.0
    script.communicate()


def test_a_command_goes_on_for_longer_than_the_ttl(scene: Scene) -> None:
    script = start(scene, "sh", "-c", "sleep 3.2; echo done")
    out, err = script.communicate(timeout=30)
    assert (script.returncode, out) == (0, "done\n"), err
