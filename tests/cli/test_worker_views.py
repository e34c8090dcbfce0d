"""What a daemon shows of its own container, with a session in this very process."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("cheroot")
pytest.importorskip("watchdog")

from prometheus_client.parser import text_string_to_metric_families

from volumelease.authorities.volume.layout import Layout
from volumelease.cli.places import place_of
from volumelease.cli.worker_views import WorkerViews
from volumelease.clock import SystemClock
from volumelease.host import this_process
from volumelease.leases.asking import volume_lease
from volumelease.leases.hosting import Hosting
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.settings import Settings
from volumelease.watch.detector import Detector

from .conftest import picture_of
from .shell import eventually, run


@pytest.fixture
def volumes() -> Iterator[Volumes]:
    settings = Settings(roots=("models",))
    volumes = Volumes(Surroundings.of_this_process()._replace(settings=settings))
    yield volumes
    volumes.close()


def value(views: WorkerViews, name: str, **labels: str) -> float:
    text = views.views().metrics("")[1].decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == f"volume_lease_{name}" and labels.items() <= sample.labels.items():
                return float(sample.value)
    raise AssertionError(f"no {name} {labels}")


def test_a_session_and_a_detector_are_shown_where_they_are(
    volume: Path, volumes: Volumes, caplog: pytest.LogCaptureFixture
) -> None:
    models = volume / "models"
    models.mkdir()
    place = place_of(str(volume))
    hosted: list[Hosting[Any]] = []
    with volume_lease(models / "a", volumes=volumes):
        hosted.append(volumes.session(place.volume))
        detector = Detector(
            Layout.of(str(volume), picture_of(volume).identity),
            ("models",),
            SystemClock(),
            this_process(),
            hosted[0].tally,
        )
        settings = volumes.surroundings.settings
        views = WorkerViews(place, settings, print, lambda: hosted[0], detector)
        detector.start()
        assert value(views, "held", scope="models") == 1
        assert value(views, "acquire_duration_seconds_count", scope="models") == 1
        assert value(views, "ttl_seconds") == 2
        assert value(views, "authority_up", authority="volume") == 1
        eventually(lambda: value(views, "watches") == 1, 20)
        (models / "stray").write_bytes(b"x")
        (models / "a").mkdir()  # as the lease allows
        eventually(
            lambda: value(views, "violations_total", scope="models", origin="local") == 1, 20
        )
    detector.close()
    (line,) = [r.getMessage() for r in caplog.records if r.name == "volumelease.violations"]
    told = json.loads(line)
    assert (told["kind"], told["path"], told["origin"]) == ("violation", "models/stray", "local")
    status = views.views().status("")
    json.dumps(status)
    assert status["violations_24h"] == 1
    assert status["violations"][0]["path"] == str(models / "stray")
    assert status["detection"]["directories"] == 2
    assert value(views, "hold_duration_seconds_count", scope="models", outcome="released") == 1
    assert value(views, "log_commits_total") >= 3
    said = run("status", "--violations", volume)
    assert (said.returncode, "local created models/stray" in said.stdout) == (0, True)
    promtool_likes(views)


def promtool_likes(views: WorkerViews) -> None:
    if shutil.which("promtool") is None:
        return
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=views.views().metrics("")[1].decode(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
