"""A real MooseFS volume with several hosts, on one machine: network namespaces and FUSE mounts.

Nothing here needs pytest. ``missing()`` says whether it can work here at all.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from . import undertaker
from .network import MOST_HOSTS, SERVER, BedError, BedHost, lay_bridge, plug_in, program, run
from .servers import EMPTY_METADATA, START_SECONDS, STOP_SECONDS, Servers, spawn, wait_until

_PACKAGES: Final = {
    "mfsmaster": "moosefs-master",
    "mfschunkserver": "moosefs-chunkserver",
    "mfsmount": "moosefs-client",
    "mfssetquota": "moosefs-client",
    "ip": "iproute2",
    "tc": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
HEAL_SECONDS: Final = 90.0
_PROBE: Final = 'echo up > "$1" && sync "$1" && rm "$1"'


def missing() -> str | None:
    """Why a bed can't be made here and what to do about it, in one line; None when it can."""
    if not sys.platform.startswith("linux"):
        return "no Linux: the test bed needs network namespaces and FUSE"
    if os.geteuid() != 0:
        return "not root: run it with sudo, or in a container with --privileged"
    if not Path("/dev/fuse").exists():
        return "no /dev/fuse: modprobe fuse, or docker run --device /dev/fuse --cap-add SYS_ADMIN"
    packages = {package for name, package in _PACKAGES.items() if not _found(name)}
    if not EMPTY_METADATA.exists():
        packages.add("moosefs-master")
    if packages:
        names = " ".join(sorted(packages))
        return f"no {names.replace(' ', ', ')}: apt-get install --no-install-recommends {names}"
    try:
        wires = "ip link add name br0 type bridge && ip link add name v0 type veth peer name v1"
        run([program("unshare"), "--net", "--mount", "sh", "-c", wires])
    except BedError as error:
        why = " ".join(str(error).split())
        return f"network namespaces not permitted, docker run --privileged permits them ({why})"
    return None


def _found(name: str) -> bool:
    try:
        program(name)
    except BedError:
        return False
    return True


class MooseFsBed:
    """``with MooseFsBed(hosts=2) as bed:`` a fresh, empty volume, mounted by every host.

    It is up when every host could write a file and sync it (about 4 s), and leaves nothing behind:
    its processes, mounts, namespaces and directory go at the end of the block, when the start
    fails half way, and when this process is killed. Everything that runs with a host's network is
    killed then. Limit: one chunk server, so no replication, and all hosts share this machine's
    kernel, clock and disk.

    ``directory`` is where the bed makes a directory of its own (default: the system's temporary
    one). Raises ``BedError``.
    """

    def __init__(self, hosts: int = 2, directory: Path | None = None) -> None:
        if not 1 <= hosts <= MOST_HOSTS:
            raise ValueError(f"hosts={hosts}: a bed has 1 to {MOST_HOSTS}")
        self.name = f"vlbed-{os.getpid()}-{secrets.token_hex(2)}"
        parent = Path(directory or tempfile.gettempdir()).resolve()
        self.directory = parent / self.name
        self.hosts = [self._host(number) for number in range(1, hosts + 1)]
        self._servers = Servers(self.directory, self._servers_namespace)
        self._mounts: list[subprocess.Popen[bytes]] = []
        self._estate = undertaker.Estate()
        self._undertaker: subprocess.Popen[bytes] | None = None

    @property
    def _servers_namespace(self) -> str:
        return f"{self.name}-servers"

    def _host(self, number: int) -> BedHost:
        name = f"host{number}"
        namespace = f"{self.name}-{name}"
        mount = self.directory / name
        return BedHost(name, number, mount, namespace, self._servers_namespace)

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

    def start(self) -> None:
        """Bring the volume up. A start that fails has taken everything down again."""
        self._undertaker = _call_undertaker()
        try:
            self._lay_wires()
            self._start_servers()
            for host in self.hosts:
                self._mount(host)
            self._wait_for_answers(START_SECONDS)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take everything down, whatever state it is in. ``BedError`` names what would not go."""
        if self._undertaker is None:
            return
        left = self._estate.bury()
        self._servers.forget()
        for mount in self._mounts:
            mount.wait(STOP_SECONDS)
        self._mounts.clear()
        if left:
            raise BedError("the bed left behind: " + ", ".join(left))
        self._undertaker.communicate(b"done\n", STOP_SECONDS)
        self._undertaker = None

    def heal(self) -> None:
        """Undo every cut, loss, pause and stop, and wait until all mounts answer (up to 90 s).

        Limit: quotas stay, and a call that was in flight may only be carried out now.
        """
        self._servers.resume_master()
        self._servers.start_master()
        for host in self.hosts:
            host.heal()
        self._wait_for_answers(HEAL_SECONDS)

    @property
    def master_pid(self) -> int | None:
        """The pid of the master, None while it is stopped or killed."""
        return self._servers.master_pid

    def start_master(self) -> None:
        """Start the master that was stopped or killed; back when it listens.

        Limit: the mounts find it again by themselves, some seconds later.
        """
        self._servers.start_master()

    def stop_master(self) -> None:
        """End the master in good order; nothing that it acknowledged is forgotten."""
        self._servers.stop_master()

    def kill_master(self) -> None:
        """Crash the master: it may forget the last commits that it acknowledged."""
        self._servers.kill_master()

    def forget_from(self, text: str) -> int:
        """After ``kill_master``: the master forgets all from the first operation that mentions
        ``text`` on. Limit: the mounts of this bed may show what was forgotten for an hour."""
        return self._servers.forget_from(text)

    def pause_master(self) -> None:
        """SIGSTOP to the master: connections stay, nobody gets an answer."""
        self._servers.pause_master()

    def resume_master(self) -> None:
        self._servers.resume_master()

    def set_quota(self, path: Path, *, inodes: int | None = None, bytes: int | None = None) -> None:
        """Hard limits of a directory of the volume, for every host, at once.

        ``inodes`` counts what is beneath the directory, not itself. ``bytes`` counts sizes of
        chunks; a write needs 64 MiB of it left, so any smaller number fills the volume at once. A
        limit not given stays as it was.
        """
        limits = []
        if inodes is not None:
            limits += ["-I", str(inodes)]
        if bytes is not None:
            limits += ["-S", str(bytes)]
        if not limits:
            raise ValueError("set_quota: give inodes= or bytes=")
        self._tool(path, "mfssetquota", *limits)

    def clear_quota(self, path: Path) -> None:
        self._tool(path, "mfsdelquota", "-A")

    def _tool(self, path: Path, name: str, *options: str) -> None:
        host = next((host for host in self.hosts if path.is_relative_to(host.mount)), None)
        if host is None:
            raise ValueError(f"{path} is on no mount of this bed")
        run(host.command([program(name), *options, str(path)]))

    def _own(self, kind: str, name: str | Path) -> None:
        """Write down what is about to be made, so that it goes even if this process dies now."""
        line = f"{kind} {name}"
        self._estate.add(line)
        assert self._undertaker is not None
        assert self._undertaker.stdin is not None
        self._undertaker.stdin.write(f"{line}\n".encode())
        self._undertaker.stdin.flush()

    def _lay_wires(self) -> None:
        self._own("namespace", self._servers_namespace)
        lay_bridge(self._servers_namespace)
        for host in self.hosts:
            self._own("namespace", host.namespace)
            plug_in(host)

    def _start_servers(self) -> None:
        self._own("directory", self.directory)
        self.directory.mkdir(parents=True)
        self._servers.write_settings()
        self._servers.start_master()
        self._servers.start_chunkserver()

    def _mount(self, host: BedHost) -> None:
        host.mount.mkdir()
        self._own("mount", host.mount)
        argv = [program("mfsmount"), str(host.mount), "-H", SERVER, "-f"]
        log = self.directory / f"{host.name}.log"
        process = spawn(host.command(argv), log)
        self._mounts.append(process)
        wait_until(lambda: is_volume(host.mount), process, log, f"mfsmount of {host.name}")

    def _wait_for_answers(self, seconds: float) -> None:
        """Wait until every host can write to the volume and sync.

        From another process each: a thread of this one that hangs in a mount can't be given up.
        """
        names = [host.mount / f".bed-probe-{host.name}" for host in self.hosts]
        log = self.directory / "probes.log"
        probes = [spawn(["sh", "-c", _PROBE, "sh", str(name)], log) for name in names]
        self._mounts += probes  # reaped in close(), should one hang until its mount is killed
        for host, probe in zip(self.hosts, probes, strict=True):
            try:
                status = probe.wait(seconds)
            except subprocess.TimeoutExpired as error:
                raise BedError(
                    f"{host.name}: the volume did not answer in {seconds:g} s"
                ) from error
            if status != 0:
                raise BedError(f"{host.name}: {log.read_text().strip()}")
            self._mounts.remove(probe)


def is_volume(path: Path) -> bool:
    """Whether MooseFS is mounted there; a directory whose mount failed looks just like a volume."""
    last = None
    for mount in undertaker.mounts():
        if mount.point == str(path):
            last = mount
    return last is not None and last.fstype.startswith("fuse") and last.source.startswith("mfs#")


def _call_undertaker() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(undertaker.__file__))],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
