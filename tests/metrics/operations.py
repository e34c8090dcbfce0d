"""All that operations sees: a volume with a daemon, an exporter, and a real Prometheus that scrapes
both, with the alerts of deploy/."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.bed.prometheus import Prometheus, fetch, free_port
from tests.cli.shell import ROOT, Running, eventually
from tests.daemon.outside import Scene

TTL: Final = 3.0
RULES: Final = ROOT / "deploy" / "prometheus" / "volumelease.rules.yml"
DAEMON: Final = "volumelease-daemon"
EXPORTER: Final = "volumelease-exporter"
ROOTS: Final = {"VOLUMELEASE_ROOTS": "models"}


def healthy(port: int) -> bool:
    try:
        return fetch(port, "/healthz") == "ok\n"
    except OSError:
        return False


class Operations(NamedTuple):
    """What runs: a volume with a daemon, an exporter, and a Prometheus that scrapes both."""

    scene: Scene
    daemon: int
    """Its port."""
    exporter: int
    exporting: Running
    prometheus: Prometheus

    def acquired(self, job: str) -> float | None:
        return self.prometheus.value(
            f'sum(volume_lease_acquire_duration_seconds_count{{job="{job}",outcome="acquired"}})'
        )

    def worker(self, path: str, *command: str) -> Running:
        """A worker without a daemon, on another host for all that the daemon knows."""
        nowhere = {"VOLUMELEASE_SOCKET": str(self.scene.root.parent / "none")}
        return Running("hold", self.scene.root / path, "--", *command, env=nowhere)


@contextmanager
def operating(folder: Path) -> Iterator[Operations]:
    daemon, exporter = free_port(), free_port()
    with Scene(folder, ttl=TTL) as scene:
        (scene.root / "models").mkdir()
        scene.environment |= {"VOLUMELEASE_HTTP": f"127.0.0.1:{daemon}", **ROOTS}
        scene.start()
        with exporting(scene.root, exporter) as running:
            eventually(lambda: healthy(daemon), 30)
            with Prometheus({DAEMON: daemon, EXPORTER: exporter}, [RULES]) as prometheus:
                yield Operations(scene, daemon, exporter, running, prometheus)


def exporting(root: Path, port: int) -> Running:
    running = Running("exporter", root, "--listen", f"127.0.0.1:{port}", env=ROOTS)
    eventually(lambda: healthy(port), 30)
    return running
