"""Starting the processes of a torture or a soak: hands, daemons, containers."""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.bed.container import Container
from tests.volume.fleet import ROOT

START_SECONDS: Final = 60.0
NOWHERE: Final = "no-daemon.sock"


def environment(mount: Path, folder: Path, ttl: float, **more: str) -> dict[str, str]:
    """For a process that uses the volume at ``mount`` by itself; ``more`` without the prefix."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("VOLUMELEASE_")}
    settings = {
        "VOLUME": str(mount),
        "TTL": f"{ttl:g}",
        "SOCKET": str(folder / NOWHERE),
        "HTTP": "off",
        **more,
    }
    paths = [str(ROOT / "src"), str(ROOT), plain.get("PYTHONPATH", "")]
    plain["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return plain | {f"VOLUMELEASE_{name}": value for name, value in settings.items()}


def python(module: str, *words: str) -> list[str]:
    return [sys.executable, "-m", module, *words]


def hand(facts: Mapping[str, Any]) -> list[str]:
    return python("tests.torture.hand", json.dumps(facts))


def watched(facts: Mapping[str, Any], *words: str) -> list[str]:
    """A command of the product whose sessions tell what they learn."""
    return python("tests.torture.watched", json.dumps(facts), *words)


class Started:
    """One process, its output in ``log``."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], log: Path, *, boxed: bool = False
    ) -> None:
        """``boxed``: as PID 1 of a pid namespace of its own."""
        self.box: Container | None = None
        self._log = log
        with log.open("ab") as output:
            if boxed:
                words = [f"{name}={value}" for name, value in environment.items()]
                self.box = Container(
                    ["sh", "-c", 'exec "$@" >>"$0" 2>&1', str(log), "env", "-i", *words, *argv]
                )
                self.process: subprocess.Popen[Any] = self.box.process
            else:
                self.process = subprocess.Popen(
                    argv,
                    cwd=ROOT,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )

    @property
    def pid(self) -> int:
        return self.process.pid if self.box is None else self.box.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """To it and everything it started; nothing if it has ended."""
        for pid in tree(self.pid) if self.running else []:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def kill(self) -> None:
        """SIGKILL, without waiting: a process that hangs in a mount goes when that answers."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)

    def end(self, seconds: float = 10.0) -> bool:
        """Make an end of it; whether it has gone."""
        try:
            self.send(signal.SIGCONT)
            self.kill()
        except OSError:
            pass
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        if self.box is not None:
            self.box.__exit__(None, None, None)
        return True


def tree(pid: int) -> list[int]:
    """That process and its descendants, the oldest first."""
    found = [pid]
    for one in found:
        try:
            for thread in os.listdir(f"/proc/{one}/task"):
                text = Path(f"/proc/{one}/task/{thread}/children").read_text()
                found += [int(word) for word in text.split()]
        except OSError:
            continue
    return found


def wait_for_socket(path: Path, daemon: Started) -> None:
    until = time.monotonic() + START_SECONDS
    while not path.exists():
        if not daemon.running or time.monotonic() > until:
            raise AssertionError(f"the daemon did not start: {daemon.said}")
        time.sleep(0.05)


def tell_where_it_stands() -> None:
    """From here on SIGUSR1 makes the process say, in its log, where its threads are."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)


def sleep_otherwise() -> None:
    """libfaketime answers EINVAL to the call by which Python sleeps since 3.11, clock_nanosleep
    until a time; it does let ``select`` be."""
    if "faketime" in os.environ.get("LD_PRELOAD", ""):

        def sleep(seconds: Any) -> None:
            select.select([], [], [], seconds)

        time.sleep = sleep
