"""A real Prometheus scrapes a real daemon and a real exporter, while workers work and die."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("cheroot")
pytest.importorskip("watchdog")

from tests.bed.prometheus import (
    Prometheus,
    check_metrics,
    fetch,
    free_port,
    missing_prometheus,
)
from tests.cli.conftest import make_volume, picture_of
from tests.cli.shell import children_of, eventually
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.reports import Reports
from volumelease.clock import SystemClock
from volumelease.core.records import SessionFacts
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.host import this_process
from volumelease.leases.hosting import HostedSession
from volumelease.model import Acquire, Claim

from .operations import DAEMON, EXPORTER, Operations, exporting, operating

pytestmark = pytest.mark.skipif(missing_prometheus() is not None, reason=missing_prometheus() or "")


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    with operating(tmp_path) as found:
        yield found


def kill_all(pid: int) -> None:
    """A worker's machine is gone: no process of it gets to say anything."""
    doomed = [pid]
    for one in doomed:
        doomed += children_of(one)
    for one in doomed:
        with suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def test_counters_survive_the_death_of_the_workers_that_made_them(operations: Operations) -> None:
    prometheus, scene = operations.prometheus, operations.scene
    eventually(lambda: prometheus.value("sum(up)") == 2, 30)
    client = scene.client("hold", "models/a")
    client.wait_for("token")
    with operations.worker("models/b", "sleep", "60") as worker:
        eventually(lambda: len(picture_of(scene.root).holders()) == 2, 30)
        eventually(lambda: operations.acquired(EXPORTER) == 2, 30)
        eventually(lambda: operations.acquired(DAEMON) == 1, 30)
        for port in (operations.daemon, operations.exporter):
            assert check_metrics(fetch(port, "/metrics")) == ""
        client.process.kill()
        kill_all(worker.pid)
    for path in ("models/a", "models/b"):
        with operations.worker(path, "true") as heir:
            assert heir.finish(30)[0] == 0
    eventually(lambda: operations.acquired(EXPORTER) == 4, 30)
    eventually(
        lambda: prometheus.value('sum(volume_lease_held{job="volumelease-exporter"})') == 0, 30
    )
    takeovers = 'sum(volume_lease_takeovers_total{job="volumelease-exporter"})'
    assert eventually(lambda: prometheus.value(takeovers), 30) == 1
    assert operations.acquired(DAEMON) == 1
    scene.daemons[0].kill()
    eventually(lambda: prometheus.value('up{job="volumelease-daemon"}') == 0, 30)
    assert operations.acquired(EXPORTER) == 4
    assert not fallen(prometheus)
    rose = 'sum(increase(volume_lease_takeovers_total{job="volumelease-exporter"}[10m]))'
    assert (prometheus.value(rose) or 0) > 0


def test_an_exporter_that_starts_again_tells_the_same_counts(operations: Operations) -> None:
    prometheus, scene = operations.prometheus, operations.scene
    with operations.worker("models/a", "true") as worker:
        assert worker.finish(30)[0] == 0
    eventually(lambda: operations.acquired(EXPORTER) == 1, 30)
    operations.exporting.signal(signal.SIGKILL)
    eventually(lambda: prometheus.value('up{job="volumelease-exporter"}') == 0, 30)
    with exporting(scene.root, operations.exporter):  # folds what is over
        eventually(lambda: not reports_of(scene.root), 30)
        eventually(lambda: prometheus.value('up{job="volumelease-exporter"}') == 1, 30)
        assert operations.acquired(EXPORTER) == 1
        assert not fallen(prometheus)


def fallen(prometheus: Prometheus) -> list[str]:
    """The counters of workers that ever showed less than before at the exporter. Scans are its own
    work, which begins anew with it."""
    names = prometheus.api("label/__name__/values")
    counters = [name for name in names if name.endswith(("_total", "_count", "_bucket", "_sum"))]
    ours = [
        name
        for name in counters
        if name.startswith("volume_lease_") and "_scan_duration_" not in name
    ]
    assert len(ours) > 20
    return [
        name
        for name in ours
        if prometheus.value(f'max(resets({name}{{job="volumelease-exporter"}}[10m]))') != 0
    ]


def reports_of(root: Path) -> list[str]:
    """Of sessions, that are in no sum yet."""
    names = os.listdir(Layout.of(str(root), picture_of(root).identity).folder("metrics"))
    return [name for name in names if not name.startswith(("sum", "total"))]


def make_workers(root: Path, number: int) -> None:
    """Sessions in the log, each with a lease and a report of what it counted."""
    identity = picture_of(root).identity
    layout, files, clock = Layout.of(str(root), identity), Files(), SystemClock()
    run = Monitor(files).run
    for worker in range(number):
        hosted = HostedSession(
            identity, layout, SessionFacts(this_process()), clock, files, print, 600.0
        )
        run(hosted.session.open())
        path = f"models/{worker}"
        run(hosted.session.ask(Acquire((Claim(path, path),), exclusive=True, owner="a")))
        hosted.tally.note((("acquire_duration_seconds", "other", "acquired"), worker / 100))
        run(Reports(layout, hosted.session.name, hosted.tally, clock).leave())


def test_a_crowd_of_workers_is_one_scrape(tmp_path: Path) -> None:
    scraped(tmp_path, 40, scrapes=1)


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_three_hundred_workers_are_scraped_within_a_second(tmp_path: Path) -> None:
    """The best of several scrapes: a machine does other things as well."""
    assert 0 < scraped(tmp_path, 300, scrapes=5) < 1


def scraped(tmp_path: Path, number: int, scrapes: int) -> float:
    """How long the quickest scrape of so many workers took, as Prometheus saw it."""
    root, port = make_volume(tmp_path / "volume", ttl=600.0), free_port()
    make_workers(root, number)
    with (
        exporting(root, port),
        Prometheus({EXPORTER: port}, timeout_seconds=4) as prometheus,
    ):
        eventually(lambda: prometheus.value("sum(volume_lease_held)") == number, 60)
        counted = 'sum(volume_lease_acquire_duration_seconds_count{outcome="acquired"})'
        assert prometheus.value(counted) == number
        eventually(lambda: (prometheus.value("count_over_time(up[5m])") or 0) >= scrapes, 60)
        best = prometheus.value("min_over_time(scrape_duration_seconds[5m])")
    assert best is not None
    return best
