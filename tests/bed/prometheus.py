"""A real Prometheus of one's own: scrapes what it is told to, and is asked over its HTTP API."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from .network import BedError
from .redis import watch_over

START_SECONDS: Final = 30.0


def missing_prometheus() -> str | None:
    """Why there is none here and what to do about it; None when there is one."""
    if shutil.which("prometheus") and shutil.which("promtool"):
        return None
    return "no prometheus: apt-get install --no-install-recommends prometheus"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


def fetch(port: int, path: str) -> str:
    """What a server on loopback answers. Errors: ``OSError``."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as response:
        found: str = response.read().decode()
        return found


def check_metrics(text: str) -> str:
    """What ``promtool check metrics`` finds wrong with it, or ""."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = checked.stdout + checked.stderr
    return said or ("" if checked.returncode == 0 else f"exit code {checked.returncode}")


class Prometheus:
    """``with Prometheus({"exporter": 9110}) as prometheus:`` scrapes those ports of loopback once
    in ``timeout_seconds``, under these names of jobs. ``rules``: files of rules, evaluated once a
    second."""

    def __init__(
        self, jobs: Mapping[str, int], rules: Sequence[Path] = (), timeout_seconds: int = 1
    ) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="prometheus-")
        self._process: subprocess.Popen[bytes] | None = None
        seconds = f"{timeout_seconds}s"
        times = {"scrape_interval": seconds, "scrape_timeout": seconds, "evaluation_interval": "1s"}
        self.configuration = {
            "global": times,
            "rule_files": [str(path) for path in rules],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                for job, port in jobs.items()
            ],
        }

    @property
    def folder(self) -> Path:
        return Path(self._folder.name)

    def start(self) -> None:
        config = self.folder / "prometheus.yml"
        config.write_text(json.dumps(self.configuration))  # YAML takes it
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self.folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        watch_over(self._process.pid, self.folder)
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                fetch(self.port, "/-/ready")
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.05)
            else:
                return
        said = (self.folder / "log").read_text(errors="replace")
        self.close()
        raise BedError(said)

    def api(self, path: str, **asked: str) -> Any:
        """The data of an answer of the HTTP API. Errors: ``AssertionError`` with its words."""
        try:
            answer = json.loads(fetch(self.port, f"/api/v1/{path}?{urllib.parse.urlencode(asked)}"))
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{asked}: {error.read().decode()}") from None
        return answer["data"]

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """The labels and values that a query has now."""
        found = self.api("query", query=query)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def value(self, query: str) -> float | None:
        """The one value that a query has now; None when it has none."""
        found = self.ask(query)
        assert len(found) < 2, f"{query}: {found}"
        return found[0][1] if found else None

    def firing(self) -> set[str]:
        """The names of the alerts that are pending or firing."""
        return {alert["labels"]["alertname"] for alert in self.api("alerts")["alerts"]}

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
