"""The dashboard and the alerts, on a real Prometheus that scrapes a real daemon and exporter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")
pytest.importorskip("cheroot")
pytest.importorskip("watchdog")

from tests.bed.prometheus import missing_prometheus
from tests.cli.shell import eventually
from tests.metrics.operations import EXPORTER, Operations, operating

from .files import queries

pytestmark = pytest.mark.skipif(missing_prometheus() is not None, reason=missing_prometheus() or "")


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    with operating(tmp_path) as found:
        yield found


def test_every_query_has_an_answer_and_alerts_fire_for_what_happens(
    operations: Operations,
) -> None:
    prometheus, scene = operations.prometheus, operations.scene
    holder = scene.client("hold", "models/a")
    holder.wait_for("token")
    with operations.worker("models/a", "true"):
        eventually(
            lambda: prometheus.value(f'sum(volume_lease_waiters{{job="{EXPORTER}"}})') == 1, 40
        )
        holder.process.kill()
        eventually(lambda: operations.acquired(EXPORTER) == 2, 40)
    seen = 'min(volume_lease_last_scan_timestamp_seconds{kind="everything"})'
    eventually(lambda: (prometheus.value(seen) or 0) > 0, 40)
    for query in queries():
        eventually(lambda query=query: prometheus.ask(query), 40)  # type: ignore[misc] # bound
    eventually(lambda: not prometheus.firing(), 40)
    (scene.root / "models" / "stray").write_bytes(b"x")
    eventually(lambda: "VolumeLeaseViolation" in prometheus.firing(), 40)
    operations.exporting.process.kill()
    eventually(lambda: "VolumeLeaseExporterDown" in prometheus.firing(), 40)
    assert prometheus.ask("sum(volume_lease_made_up)") == [], "what is not told has no answer"
    with pytest.raises(AssertionError, match="parse error"):
        prometheus.ask("sum(volume_lease_held")
