"""The master and the chunk server of one bed, in the foreground as children of this process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from .network import SERVER, SUBNET, BedError, inside, program

EMPTY_METADATA: Final = Path("/var/lib/mfs/metadata.mfs.empty")
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 30.0
_MASTER_LISTENS: Final = ":24CD 00000000:0000 0A"  # port 9421, LISTEN; proc(5), /proc/net/tcp

_MASTER: Final = """\
WORKING_USER = root
WORKING_GROUP = root
DATA_PATH = {directory}/master
EXPORTS_FILENAME = {directory}/exports.cfg
TOPOLOGY_FILENAME = {directory}/topology.cfg
MATOML_LISTEN_HOST = {server}
MATOCS_LISTEN_HOST = {server}
MATOCL_LISTEN_HOST = {server}
"""

_CHUNKSERVER: Final = """\
WORKING_USER = root
WORKING_GROUP = root
DATA_PATH = {directory}/chunkserver
HDD_CONF_FILENAME = {directory}/disks.cfg
HDD_LEAVE_SPACE_DEFAULT = 64MiB
MASTER_HOST = {server}
MASTER_RECONNECTION_DELAY = 1
BIND_HOST = {server}
CSSERV_LISTEN_HOST = {server}
"""


def spawn(argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process of the bed, its output in ``log``.

    In a session of its own: the Ctrl-C that ends a test run would otherwise take the volume away
    before the tests have let go of it.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until(
    ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, what: str
) -> None:
    """Wait for ``ready`` while ``process`` lives; ``BedError`` with the end of its log if not."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None:
            raise BedError(f"{what}: exit status {process.returncode}\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise BedError(f"{what}: not ready in {START_SECONDS:g} s\n{_tail(log)}")
        time.sleep(0.01)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


class Servers:
    """Limit: it makes nothing disappear; that is left to the bed, which knows every process."""

    def __init__(self, directory: Path, namespace: str) -> None:
        self._directory = directory
        self._namespace = namespace
        self._paused = False
        self._master: subprocess.Popen[bytes] | None = None
        self._chunkserver: subprocess.Popen[bytes] | None = None

    def write_settings(self) -> None:
        for name in ("master", "chunkserver", "chunks"):
            (self._directory / name).mkdir()
        shutil.copy(EMPTY_METADATA, self._directory / "master" / "metadata.mfs")
        files = {
            "exports.cfg": f"{SUBNET} / rw,alldirs,admin,maproot=0:0\n",
            "topology.cfg": "",
            "disks.cfg": f"{self._directory}/chunks\n",
            "master.cfg": _MASTER.format(directory=self._directory, server=SERVER),
            "chunkserver.cfg": _CHUNKSERVER.format(directory=self._directory, server=SERVER),
        }
        for name, text in files.items():
            (self._directory / name).write_text(text)

    @property
    def master_pid(self) -> int | None:
        """None while no master runs, also when it ended by itself."""
        if self._master is not None and self._master.poll() is not None:
            self._master, self._paused = None, False
        return self._master.pid if self._master else None

    def start_master(self) -> None:
        """Start the master and wait until it listens. ``-a``: replay the change log of a crash."""
        if self.master_pid is not None:
            return
        master = self._start("mfsmaster", "master", "-a")
        self._master = master
        connections = Path(f"/proc/{master.pid}/net/tcp")
        log = self._directory / "master.log"
        wait_until(lambda: _MASTER_LISTENS in _read(connections), master, log, "mfsmaster")

    def start_chunkserver(self) -> None:
        """Start the chunk server; it finds the master by itself."""
        self._chunkserver = self._start("mfschunkserver", "chunkserver")

    def stop_master(self) -> None:
        """End the master in good order: it writes its metadata first (about a second)."""
        if self._master is None:
            return
        self.resume_master()
        self._master.terminate()
        try:
            self._master.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise BedError(f"mfsmaster did not stop in {STOP_SECONDS:g} s") from error
        self._master = None

    def kill_master(self) -> None:
        """SIGKILL, for the process that writes the change log in the background too."""
        if self.master_pid is None or self._master is None:
            return
        os.killpg(self._master.pid, signal.SIGKILL)
        self._master.wait()
        self._master, self._paused = None, False

    def forget_from(self, text: str) -> int:
        """While the master is dead: cut its change log before the first operation that mentions
        ``text``, as if the power had failed before that was on the disk. Returns how many
        operations were forgotten."""
        log = self._directory / "master" / "changelog.0.mfs"
        lines = log.read_text().splitlines(keepends=True)
        found = (number for number, line in enumerate(lines) if text in line)
        first = next(found, len(lines))
        log.write_text("".join(lines[:first]))
        return len(lines) - first

    def pause_master(self) -> None:
        if self._master is not None:
            self._master.send_signal(signal.SIGSTOP)
            self._paused = True

    def resume_master(self) -> None:
        if self._master is not None and self._paused:
            self._master.send_signal(signal.SIGCONT)
        self._paused = False

    def forget(self) -> None:
        """Reap what has been killed, so that no zombie stays."""
        for process in (self._master, self._chunkserver):
            if process is not None:
                process.wait(STOP_SECONDS)
        self._master = self._chunkserver = None

    def _start(self, name: str, what: str, *options: str) -> subprocess.Popen[bytes]:
        settings = f"{self._directory}/{what}.cfg"
        argv = [program(name), "-f", *options, "-c", settings, "start"]
        return spawn(inside(self._namespace, argv), self._directory / f"{what}.log")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process is gone; whoever waits for it will notice
        return ""
