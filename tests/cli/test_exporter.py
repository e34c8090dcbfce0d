"""``volumelease exporter``: the whole fleet on one address."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("cheroot")

from prometheus_client.parser import text_string_to_metric_families

from tests.bed.moosefs import MooseFsBed
from tests.bed.redis import RedisServer
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.reports import Reports
from volumelease.clock import SystemClock
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.tallies import Tally

from .conftest import make_volume, picture_of
from .shell import Running, eventually, run


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
        found: str = response.read().decode()
        return found


def up(port: int) -> bool:
    try:
        return get(port, "/healthz") == "ok\n"
    except OSError:
        return False


def value(port: int, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(get(port, "/metrics")):
        for sample in family.samples:
            if sample.name == f"volume_lease_{name}" and labels.items() <= sample.labels.items():
                return float(sample.value)
    raise AssertionError(f"no {name} {labels}")


def test_a_fleet_is_seen_on_one_address_and_the_dead_stay_counted(volume: Path) -> None:
    port = free_port()
    with Running("exporter", volume, "--listen", f"127.0.0.1:{port}"):
        eventually(lambda: up(port))
        with Running("hold", volume / "a", "--reason", "<b>x</b>", "--", "sleep", "60") as holder:
            eventually(lambda: picture_of(volume).holders())
            with Running("hold", volume / "a", "--", "true") as waiter:
                eventually(lambda: value(port, "waiters", scope="other") == 1, 20)
                assert value(port, "held", scope="other") == 1
                found: dict[str, Any] = json.loads(get(port, "/api/v1/status"))
                assert [lease["reason"] for lease in found["leases"]] == ["<b>x</b>"]
                assert len(found["waiting"]) == 1
                acquired = "acquire_duration_seconds_count"
                eventually(
                    lambda: value(port, acquired, scope="other", outcome="acquired") >= 1, 20
                )
                before = value(port, acquired, scope="other", outcome="acquired")
                os.killpg(os.getpgid(holder.child("lease-warden")), signal.SIGKILL)
                eventually(lambda: waiter.process.poll() == 0, 30)
        eventually(lambda: value(port, "held", scope="other") == 0, 20)
        eventually(
            lambda: value(port, acquired, scope="other", outcome="acquired") == before + 1, 30
        )
        history = json.loads(get(port, f"/api/v1/history?path={volume / 'a'}"))
        assert len(history["leases"]) == 2
    assert run("verify", volume).returncode == 0


def test_three_hundred_workers_are_scraped_within_a_second(volume: Path) -> None:
    identity = picture_of(volume).identity
    layout, perform = Layout.of(str(volume), identity), Monitor(Files())
    tally = Tally()
    for number in range(300):
        for outcome in ("acquired", "timeout"):
            tally.note((("acquire_duration_seconds", "other", outcome), number / 100))
        reports = Reports(layout, os.urandom(8).hex(), tally, SystemClock())
        perform.run(reports.leave())
    port = free_port()
    with Running("exporter", volume, "--listen", f"127.0.0.1:{port}"):
        eventually(lambda: up(port))
        began = time.monotonic()
        assert value(port, "acquire_duration_seconds_count", outcome="acquired") == 300
        assert time.monotonic() - began < 5, "a second where nothing else runs"


@pytest.mark.torture
def test_a_volume_that_does_not_answer_is_scraped_as_that(
    bed: MooseFsBed, shared_mounts: list[Path]
) -> None:
    port = free_port()
    make_volume(shared_mounts[0] / "volume", ttl=6.0)
    with Running("exporter", shared_mounts[0] / "volume", "--listen", f"127.0.0.1:{port}"):
        eventually(lambda: up(port))
        assert value(port, "authority_up", authority="volume") == 1
        bed.pause_master()
        time.sleep(1.5)
        began = time.monotonic()
        assert value(port, "authority_up", authority="volume") == 0
        assert time.monotonic() - began < 10
        assert up(port), "health is of the process"
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get(port, "/api/v1/status")
        bed.resume_master()
        eventually(lambda: value(port, "authority_up", authority="volume") == 1, 60)


ROOTS = {"VOLUMELEASE_ROOTS": "models"}


def test_what_it_counted_itself_survives_its_restart(volume: Path) -> None:
    """Else the sum is smaller than before, and Prometheus takes all of it for new."""
    port = free_port()
    (volume / "models").mkdir()
    counted = ("violations_total", {"scope": "models", "origin": "local"})

    def violations() -> float:
        return value(port, counted[0], **counted[1])

    with Running("exporter", volume, "--listen", f"127.0.0.1:{port}", env=ROOTS) as exporter:
        eventually(lambda: up(port))
        eventually(lambda: json.loads(get(port, "/api/v1/status"))["detection"]["running"], 20)
        (volume / "models" / "stray").write_text("nobody's")
        eventually(lambda: violations() == 1, 30)
        exporter.signal(signal.SIGTERM)
        assert exporter.finish()[0] == 0
    with Running("exporter", volume, "--listen", f"127.0.0.1:{port}", env=ROOTS):
        eventually(lambda: up(port))
        assert violations() == 1


def test_what_is_not_known_yet_is_not_shown_as_nothing(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    env = {"VOLUMELEASE_REDIS_URL": redis_server.url}
    assert run("init", tmp_path, "--authority", "redis", env=env).returncode == 0
    redis_server.kill()
    port = free_port()
    with Running("exporter", tmp_path, "--listen", f"127.0.0.1:{port}", env=env):
        eventually(lambda: up(port))
        with pytest.raises(urllib.error.HTTPError, match="503"):
            get(port, "/metrics")
        redis_server.start()
        eventually(lambda: value(port, "authority_up", authority="redis") == 1, 20)
        redis_server.kill()
        assert value(port, "authority_up", authority="redis") == 0


@pytest.mark.parametrize("address", ["9110", "localhost", "127.0.0.1:http", "off", "[::1]"])
def test_an_address_without_a_port_is_refused(volume: Path, address: str) -> None:
    result = run("exporter", volume, "--listen", address)
    assert result.returncode == 2
    assert f"{address} is not HOST:PORT" in result.stderr
