"""Many clients of one daemon: what they cost while nothing happens."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from volumelease.client.connecting import Line

from .outside import Scene
from .test_garbage import used

TICKS = os.sysconf("SC_CLK_TCK")


def worked(pid: int) -> float:
    """Seconds of a core."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(
    folder: Path, clients: int, leases: int, seconds: float, first: float
) -> tuple[float, float]:
    """MiB, and the share of a core at rest."""
    with Scene(folder) as scene:
        daemon = scene.start()
        with Line(str(scene.socket), events=False) as line:
            line.ask("attach", {"path": str(scene.root)})
            crowd = scene.client("crowd", clients=clients, leases=leases)
            try:
                crowd.wait_for("ready", 120)
                time.sleep(first)  # five thousand commits leave the log something to tidy
                before = worked(daemon.pid)
                time.sleep(seconds)
                share = (worked(daemon.pid) - before) / seconds
                kib, descriptors, threads = used(daemon.pid)
            finally:
                crowd.finish()
            print(
                f"{clients} clients, {clients * leases} leases: {kib / 1024:.1f} MiB, "
                f"{100 * share:.2f} % of a core, {descriptors} descriptors, {threads} threads"
            )
            until = time.monotonic() + 60
            while line.ask("acquire", {"claims": [[""]], "wait": False})["is"] != "granted":
                assert time.monotonic() < until, "what the dead had is not given back"
                time.sleep(0.1)
    return kib / 1024, share


def test_fifty_clients_cost_little(tmp_path: Path) -> None:
    mebibytes, _ = measure(tmp_path, 50, 4, 1.0, 0.0)
    assert mebibytes < 60


@pytest.mark.torture
@pytest.mark.timeout(600)
def test_five_hundred_clients_with_five_thousand_leases(tmp_path: Path) -> None:
    mebibytes, share = measure(tmp_path, 500, 10, 30.0, 15.0)
    assert mebibytes <= 60
    assert share <= 0.005
