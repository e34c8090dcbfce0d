"""Clients of a daemon: they die, are busy, and can't touch what is another's."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from volumelease import LeaseTimeout, volume_lease
from volumelease.client.connecting import Line

from .outside import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path) as made:
        made.start()
        yield made


def taken_after(scene: Scene, act: Any, path: str = "a") -> float:
    """How long after ``act`` an observer in another process has the lease."""
    acted: list[float] = []

    def do() -> None:
        acted.append(time.monotonic())
        act()

    timer = threading.Timer(0.3, do)
    timer.start()
    with volume_lease(scene.root / path, timeout=20, volumes=scene.volumes):
        taken = time.monotonic()
    timer.join()
    return taken - acted[0]


def test_a_lease_goes_through_the_daemon_when_its_socket_is_there(scene: Scene) -> None:
    holder = scene.client("hold")
    said = holder.wait_for("token")
    assert said["session"] == "HostedByDaemon"
    with pytest.raises(LeaseTimeout, match="token"):
        volume_lease(scene.root / "a", timeout=0, volumes=scene.volumes).__enter__()
    holder.process.stdin.close()  # type: ignore[union-attr]
    assert holder.process.wait(10) == 0
    with volume_lease(scene.root / "a", timeout=5, volumes=scene.volumes):
        pass


def test_a_killed_handler_whose_forked_child_lives_on_frees_its_lease_at_once(
    scene: Scene,
) -> None:
    holder = scene.client("hold_with_child", writes=False)
    child = holder.wait_for("child")["child"]
    try:
        assert taken_after(scene, holder.process.kill) < 1.0
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_child_that_goes_on_writing_keeps_the_lease_until_it_ends(scene: Scene) -> None:
    (scene.root / "a").mkdir()
    holder = scene.client("hold_with_child", writes=True)
    child = holder.wait_for("child")["child"]
    holder.process.kill()
    holder.process.wait()
    with pytest.raises(LeaseTimeout):
        volume_lease(scene.root / "a", timeout=1.0, volumes=scene.volumes).__enter__()
    assert taken_after(scene, lambda: os.kill(child, signal.SIGKILL)) < 2.0


def test_a_handler_that_keeps_the_gil_keeps_its_lease(tmp_path: Path) -> None:
    with Scene(tmp_path, ttl=2.0) as scene:
        scene.start()
        holder = scene.client("keep_the_gil", seconds=4)
        token = holder.wait_for("token")["token"]
        with pytest.raises(LeaseTimeout) as caught:
            volume_lease(scene.root / "a", timeout=2.5, volumes=scene.volumes).__enter__()
        assert caught.value.facts["token"] == token
        said = holder.wait_for("lost")
        assert said["lost"] is False
        assert said["remaining"] > 0


@pytest.mark.torture
def test_a_handler_that_keeps_the_gil_for_a_minute_keeps_its_lease(tmp_path: Path) -> None:
    with Scene(tmp_path, ttl=6.0) as scene:
        scene.start()
        holder = scene.client("keep_the_gil", seconds=60)
        holder.wait_for("token")
        with pytest.raises(LeaseTimeout):
            volume_lease(scene.root / "a", timeout=55, volumes=scene.volumes).__enter__()
        assert holder.wait_for("lost", 60)["lost"] is False


def test_a_client_can_only_touch_what_it_holds(scene: Scene) -> None:
    holder = scene.client("hold")
    token = str(holder.wait_for("token")["token"])
    with Line(str(scene.socket), events=False) as line:
        refused(scene, line, token)
    holder.tell_to_go_on()
    assert holder.wait_for("lost")["lost"] is False


def refused(scene: Scene, line: Line, token: str) -> None:
    volume = line.ask("attach", {"path": str(scene.root)})["volume"]
    for do in ("release", "cancel"):
        assert line.ask(do, {"volume": volume, "token": token})["is"] == "ended"
    for do in ("inspect", "downgrade"):
        assert line.ask(do, {"volume": volume, "token": token})["is"] == "lost"
    fields = {"volume": volume, "token": token, "target": [["a"]]}
    assert line.ask("prepare", fields)["is"] == "lost"
    draft = {"token": token, "target": [["a"]], "unique": "x", "path": str(scene.root / "x")}
    assert line.ask("publish", {"volume": volume, "draft": draft})["is"] == "lost"
    (scene.root / "x").write_text("mine")
    assert line.ask("discard", {"volume": volume, "draft": draft})["is"] == "ended"
    assert (scene.root / "x").read_text() == "mine"


def test_who_closes_its_last_connection_has_left(scene: Scene) -> None:
    line = Line(str(scene.socket), events=True)
    answer = line.ask("acquire", {"paths": [str(scene.root / "a")]})
    assert answer["is"] == "granted"
    with pytest.raises(LeaseTimeout):
        volume_lease(scene.root / "a", timeout=0, volumes=scene.volumes).__enter__()
    line.close()
    with volume_lease(scene.root / "a", timeout=5, volumes=scene.volumes):
        pass


@pytest.mark.parametrize("named", ["paths", "claims"])
def test_scope_volume_raises_what_clients_of_any_language_ask_for(
    tmp_path: Path, named: str
) -> None:
    with Scene(tmp_path) as scene:
        scene.environment["VOLUMELEASE_SCOPE"] = "volume"
        scene.start()
        with Line(str(scene.socket), events=False) as line:
            line.ask("attach", {"path": str(scene.root)})
            wanted = {"paths": [str(scene.root / "a")]} if named == "paths" else {"claims": [["a"]]}
            held = line.ask("acquire", wanted)
            assert held["is"] == "granted"
            with pytest.raises(LeaseTimeout):
                volume_lease(scene.root / "b", timeout=0, volumes=scene.volumes).__enter__()
            line.ask("release", {"token": held["token"]})
            assert line.ask("acquire", wanted | {"shared": True})["is"] == "granted"
            with volume_lease(scene.root / "b", timeout=0, volumes=scene.volumes):
                pass


def test_a_waiter_is_told_when_it_is_granted(scene: Scene) -> None:
    with Line(str(scene.socket), events=True) as line:
        with volume_lease(scene.root / "a", volumes=scene.volumes):
            answer = line.ask("acquire", {"paths": [str(scene.root / "a")], "reason": "to see"})
            assert answer["is"] == "waiting"
            assert answer["ahead"][0]["pid"] == os.getpid()
        told = line.listen()
        assert told is not None
        assert (told.event, told.about["token"]) == ("granted", answer["token"])


def test_a_model_is_populated_once_and_published_through_the_daemon(scene: Scene) -> None:
    builders = [scene.client("build", "models/x", seconds=0.3) for _ in range(3)]
    weights = {builder.wait_for("weights")["weights"] for builder in builders}
    assert len(weights) == 1
    assert sum(builder.has_said("built") for builder in builders) == 1


def test_a_builder_that_died_leaves_nothing_in_the_way(scene: Scene) -> None:
    first = scene.client("build", "models/x", seconds=60)
    first.wait_for("built")
    first.process.kill()
    second = scene.client("build", "models/x")
    assert second.wait_for("weights")["weights"] == str(second.process.pid)


def test_requests_of_one_connection_may_come_together_or_one_after_the_other(
    scene: Scene,
) -> None:
    with Line(str(scene.socket), events=False) as line:
        held = line.ask("acquire", {"paths": [str(scene.root / "a")]})
        fields = {"volume": held["volume"], "token": held["token"]}
        for _ in range(5):
            assert line.ask("inspect", fields)["is"] == "granted"
        first, data = line._side.ask("who_holds", {"target": [["a"]], "volume": held["volume"]})
        second, more = line._side.ask("ping", {})
        line._send(data + more)
        heard = [line._next(), line._next()]
        assert {getattr(event, "id", None) for event in heard} == {first, second}
        number, data = line._side.ask("inspect", fields)
        line._send(data[:10])
        time.sleep(0.05)
        line._send(data[10:])
        assert getattr(line._next(), "id", None) == number
