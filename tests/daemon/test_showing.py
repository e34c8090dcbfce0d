"""What a daemon serves over HTTP: metrics of its clients, health, and what its detector sees."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("cheroot")
pytest.importorskip("watchdog")

from prometheus_client.parser import text_string_to_metric_families

from tests.cli.shell import eventually
from volumelease.leases.volumes import Volumes
from volumelease.paths.locate import locate

from .inside import surroundings
from .outside import Scene


@pytest.fixture
def address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=15) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def value(address: str, name: str, **labels: str) -> float:
    status, text = get(address, "/metrics")
    assert status == 200, text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"volume_lease_{name}" and labels.items() <= sample.labels.items():
                return float(sample.value)
    raise AssertionError(f"no {name} {labels}")


def promtool_likes(address: str) -> None:
    if shutil.which("promtool") is None:
        return
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=get(address, "/metrics")[1],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def served(scene: Scene, address: str, **settings: str) -> None:
    scene.environment.update({"VOLUMELEASE_HTTP": address, **settings})
    scene.start()
    eventually(lambda: get(address, "/healthz")[0] == 200, 20)


def status_of(address: str) -> Any:
    return json.loads(get(address, "/api/v1/status")[1])


def test_a_daemon_shows_the_leases_of_its_clients_and_the_writes_of_others(
    tmp_path: Path, address: str
) -> None:
    with Scene(tmp_path) as scene:
        models = scene.root / "models"
        models.mkdir()
        served(scene, address, VOLUMELEASE_ROOTS="models")
        assert get(address, "/readyz") == (200, "ready\n")
        assert get(address, "/api/v1/status")[0] == 503
        assert value(address, "held", scope="models") == 0
        promtool_likes(address)
        holder = scene.client("hold", "models/a")
        holder.wait_for("token")
        eventually(lambda: value(address, "held", scope="models") == 1, 20)
        acquired = "acquire_duration_seconds_count"
        assert value(address, acquired, scope="models", outcome="acquired") == 1
        waiter = scene.client("hold", "models/a")
        eventually(lambda: value(address, "waiters", scope="models") == 1, 20)
        eventually(lambda: status_of(address)["detection"]["running"], 20)
        (models / "stray").write_bytes(b"x")
        violations = {"scope": "models", "origin": "local"}
        eventually(lambda: value(address, "violations_total", **violations) == 1, 30)
        waiter.process.kill()
        eventually(lambda: value(address, acquired, scope="models", outcome="cancelled") == 1, 20)
        holder.process.kill()
        held = "hold_duration_seconds_count"
        eventually(lambda: value(address, held, scope="models", outcome="released") == 1, 20)
        assert value(address, "held", scope="models") == 0
        promtool_likes(address)
        assert get(address, "/readyz") == (200, "ready\n")
        assert "<html" in get(address, "/")[1]


def detects(address: str, volume: str) -> bool:
    found = json.loads(get(address, f"/api/v1/status?volume={volume}")[1])
    return bool(found["detection"]["running"])


def test_all_volumes_that_a_daemon_serves_are_shown_and_watched(
    tmp_path: Path, address: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with Scene(tmp_path) as scene:
        mine = Volumes(surroundings(other, 15.0, []))
        second = mine.found(locate(other, explicit=str(other)), ready=True).id
        mine.close()
        del scene.environment["VOLUMELEASE_VOLUME"]
        roots = [scene.root, other]
        for root in roots:
            (root / "models").mkdir()
        served(scene, address, VOLUMELEASE_ROOTS="models")
        for root in roots:
            scene.client("hold", str(root / "models" / root.name)).wait_for("token")
        eventually(lambda: value(address, "held", scope="models") == 2, 20)
        acquired = {"scope": "models", "outcome": "acquired"}
        assert value(address, "acquire_duration_seconds_count", **acquired) == 2
        for volume in (scene.volume, second):
            eventually(partial(value, address, "log_commits_total", volume=volume), 20)
            assert value(address, "log_entries", volume=volume) > 0
        promtool_likes(address)
        found = status_of(address)
        assert found["volumes"] == [
            {"id": scene.volume, "root": str(scene.root)},
            {"id": second, "root": str(other)},
        ]
        for volume, root in ((scene.volume, scene.root), (second, other)):
            answer = json.loads(get(address, f"/api/v1/status?volume={volume}")[1])
            assert answer["volume"]["id"] == volume
            assert [lease["paths"] for lease in answer["leases"]] == [
                [str(root / "models" / root.name)]
            ]
            past = json.loads(get(address, f"/api/v1/history?path={root / 'models'}")[1])
            assert len(past["leases"]) == 1
            eventually(partial(detects, address, volume), 20)
            (root / "models" / "stray").write_bytes(b"x")
        assert get(address, "/api/v1/status?volume=none")[0] == 503
        assert get(address, "/readyz") == (200, "ready\n")
        violations = {"scope": "models", "origin": "local"}
        eventually(lambda: value(address, "violations_total", **violations) == 2, 30)


def test_an_address_that_is_taken_costs_no_lease(tmp_path: Path) -> None:
    with socket.socket() as taken, Scene(tmp_path) as scene:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        scene.environment["VOLUMELEASE_HTTP"] = f"127.0.0.1:{taken.getsockname()[1]}"
        daemon = scene.start()
        assert daemon.stderr is not None
        assert "nothing is served over HTTP" in daemon.stderr.readline()
        scene.client("hold").wait_for("token")


def test_publishes_of_a_client_and_leases_that_it_lost_are_counted(
    tmp_path: Path, address: str
) -> None:
    with Scene(tmp_path) as scene:
        served(scene, address)
        publisher = scene.client("publish")
        publisher.wait_for("published")
        eventually(lambda: value(address, "publishes_total", scope="other") == 1, 20)
        assert value(address, "publish_refused_total", scope="other") == 0
        ended = {"scope": "other", "outcome": "released"}
        assert value(address, "hold_duration_seconds_count", **ended) == 1
        assert value(address, "acquire_duration_seconds_count", outcome="acquired") == 1
        holder = scene.client("hold")
        token = str(holder.wait_for("token")["token"])
        command = [sys.executable, "-m", "volumelease", "break", str(scene.root / "a")]
        command += ["--token", token, "--reason", "a test", "--force"]
        environment = {**os.environ, "VOLUMELEASE_VOLUME": str(scene.root)}
        subprocess.run(command, env=environment, check=True, timeout=30)
        holder.wait_for("told")
        holder.process.kill()
        ended = {"scope": "other", "outcome": "broken"}
        eventually(lambda: value(address, "hold_duration_seconds_count", **ended) == 1, 20)
        assert value(address, "lost_total", scope="other", reason="broken") == 1
