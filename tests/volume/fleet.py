"""Starting and watching the worker processes of the integration tests."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
JOBS: Final = "tests.volume.jobs"


class Worker:
    """One worker process and what it says."""

    def __init__(
        self, job: str, facts: dict[str, Any], prefix: Sequence[str] = (), module: str = JOBS
    ) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VOLUMELEASE_")}
        more = os.environ.get("PYTHONPATH", "")
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT), more])
        command = [*prefix, sys.executable, "-m", module, job, json.dumps(facts)]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def wait_for(self, fact: str, seconds: float = 30.0) -> dict[str, Any]:
        """The next line that speaks of ``fact``."""
        until = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise AssertionError(
                    f"no {fact!r} in {seconds} s; it said {self.said}, {''.join(self.errors)}"
                ) from None
            if line is None:
                self._lines.put(None)
                raise AssertionError(
                    f"ended without {fact!r}; it said {self.said}, {''.join(self.errors)}"
                )
            self.said.append(line)
            if fact in line:
                return line

    def has_said(self, fact: str) -> bool:
        """Whether it has spoken of ``fact`` by now; takes what it said meanwhile."""
        while True:
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                break
            if line is None:
                self._lines.put(None)
                break
            self.said.append(line)
        return any(fact in line for line in self.said)

    def silent(self, seconds: float) -> None:
        """Nothing is said for so long."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"it said {line}")

    def tell_to_go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def stopped(self) -> bool:
        with open(f"/proc/{self.process.pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "T"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self, seconds: float = 30.0) -> int:
        self.tell_to_go_on()
        return self.process.wait(seconds)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            return  # in the kernel's hands until its host is healed
        for thread in self._threads:
            thread.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue


class Fleet:
    """Starts workers and ends them all."""

    def __init__(self) -> None:
        self.workers: list[Worker] = []

    def start(
        self, job: str, *, prefix: Sequence[str] = (), module: str = JOBS, **facts: Any
    ) -> Worker:
        plain = {k: str(v) if isinstance(v, Path) else v for k, v in facts.items()}
        worker = Worker(job, plain, prefix, module)
        self.workers.append(worker)
        return worker


@contextmanager
def fleet() -> Iterator[Fleet]:
    started = Fleet()
    try:
        yield started
    finally:
        for worker in started.workers:
            worker.end()


def make_volume(mount: Path, ttl: float, *, ready: bool = True) -> None:
    """What ``volumelease init --ttl`` does."""
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate

    mine = Volumes(Surroundings.of_this_process())
    mine.found(locate(mount, explicit=str(mount)), ready=ready, ttl=ttl)
