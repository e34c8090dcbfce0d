"""The processes of the engine, and the pipes to them."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from .problems import BenchProblem

_PACKAGE: Final = Path(__file__).parents[2]
END_SECONDS: Final = 2.0


class Worker:
    """One process that answers a line for each line it is given. ``page``: descriptor of the
    page that it shares."""

    def __init__(self, page: int) -> None:
        self._complaints = os.memfd_create("volumelease-bench-stderr")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "volumelease.bench.job", str(os.getpid()), str(page)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            pass_fds=(page,),
            env=_environment(),
            bufsize=0,
        )
        self._heard = b""
        self.answered = True

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def order(self, order: dict[str, Any]) -> None:
        self._heard = b""
        self.answered = False
        try:
            os.write(self._stdin, json.dumps(order).encode() + b"\n")
        except BrokenPipeError:
            raise self._died() from None

    def hear(self) -> None:
        """Read what there is. Errors: ``BenchProblem`` when the process is gone."""
        data = os.read(self.fileno(), 1 << 20)
        if not data:
            raise self._died()
        self._heard += data
        self.answered = self._heard.endswith(b"\n")

    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._heard)
        return found

    def kill(self) -> None:
        """Whatever it does, it is a benchmark's. Doesn't wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()

    def end(self, seconds: float) -> None:
        """Wait so long until it is gone, and forget it. May be called again."""
        assert self._process.stdout is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            # It hangs in a call on the volume, where nothing ends it; the kernel has the order.
            self._process.returncode = -9
        self._process.stdout.close()
        complaints, self._complaints = self._complaints, -1
        if complaints >= 0:
            os.close(complaints)

    @property
    def _stdin(self) -> int:
        assert self._process.stdin is not None
        return self._process.stdin.fileno()

    def _died(self) -> BenchProblem:
        code = self._process.wait()
        said = os.pread(self._complaints, 1 << 16, 0).decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else "it said nothing"
        return BenchProblem(
            f"a job ended by itself, with status {code}: {last}",
            advice="See whether the kernel ran out of memory: dmesg",
            job="died",
        )


def end_all(workers: list[Worker]) -> None:
    """Kill all of them, and empty the list. Together they are waited for as long as one is."""
    for worker in workers:
        worker.kill()
    until = time.monotonic() + END_SECONDS
    while workers:
        workers[-1].end(max(0.0, until - time.monotonic()))
        workers.pop()


def wait_for_any(workers: Sequence[Worker], seconds: float) -> None:
    """Hear whoever answers within that time."""
    ready, _, _ = select.select(workers, [], [], max(0.0, seconds))
    for worker in ready:
        worker.hear()


def _environment() -> dict[str, str]:
    known = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(_PACKAGE), known)))}
