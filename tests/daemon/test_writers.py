"""Who may still write what a dead client had: its orphans, wherever they are, and nobody else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from volumelease import LeaseTimeout, volume_lease
from volumelease.client.connecting import Line

from .outside import Scene, gone
from .test_worker import HOLDER, python, start


def is_free(scene: Scene, seconds: float) -> bool:
    try:
        with volume_lease(scene.root / "a", timeout=seconds, volumes=scene.volumes):
            return True
    except LeaseTimeout:
        return False


def test_an_orphan_that_a_live_client_adopted_still_writes(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        scene.start()
        (scene.root / "a").mkdir()
        adopter = scene.client("adopt_the_child_of_another", writes=True)
        said = adopter.wait_for("child")
        assert said["parent"] == adopter.process.pid
        assert not is_free(scene, 0.7)
        os.kill(said["child"], signal.SIGKILL)
        assert is_free(scene, 5.0)


def test_a_child_that_writes_the_draft_of_a_dead_client_keeps_its_lease(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        scene.start()
        holder = scene.client("hold_with_child_in_its_draft")
        child = holder.wait_for("child")["child"]
        holder.process.kill()
        holder.process.wait()
        assert not is_free(scene, 0.7)
        os.kill(child, signal.SIGKILL)
        assert is_free(scene, 5.0)


def test_who_writes_the_draft_of_another_is_not_waited_for(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        scene.start()
        holder = scene.client("hold", "")
        holder.wait_for("token")
        (control,) = (scene.root / ".volumelease").glob("*/stage")
        writer = scene.client("write", str(control / "another-1"))
        writer.wait_for("writes")
        holder.process.kill()
        assert is_free(scene, 5.0)
        assert writer.process.poll() is None


@pytest.mark.parametrize("leased", [False, True])
def test_a_worker_ends_no_writer_that_is_not_its_own(tmp_path: Path, leased: bool) -> None:
    """Nor does it end one of another path."""
    with Scene(tmp_path) as scene:
        handler = python(HOLDER, path=str(scene.root / "a"))
        running = start(scene, "sh", "-c", '"$@" & echo $!; sleep 60', "sh", *handler)
        assert running.stdout is not None
        pid = int(running.stdout.readline())
        assert running.stdout.readline().startswith("token")
        writer = scene.client("write", "a" if leased else "b")
        writer.wait_for("writes")
        os.kill(pid, signal.SIGKILL)
        assert is_free(scene, 0.7 if leased else 5.0) is not leased
        assert not gone(writer.process.pid, 0.1)
        writer.tell_to_go_on()
        assert is_free(scene, 5.0)
        running.terminate()
        running.communicate()


def test_a_client_that_left_and_goes_on_writing_is_waited_for(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        scene.start()
        (scene.root / "a").mkdir()
        with (scene.root / "a" / "file").open("w"):
            with Line(str(scene.socket), events=False) as line:
                answer = line.ask("acquire", {"paths": [str(scene.root / "a")]})
                assert answer["is"] == "granted"
            assert not is_free(scene, 0.7)
        assert is_free(scene, 5.0)
