"""A directory mounted twice by sshfs, as two hosts would: what leases must refuse.

The server is an sshd of its own on loopback, with its own keys and port; it and the mounts go at
the end of the block.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from . import undertaker

PROGRAMS: Final = {
    "sshfs": "sshfs",
    "/usr/sbin/sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
}
UP_SECONDS: Final = 15.0


def missing_sshfs() -> str | None:
    """Why there can be no such mounts here, or None."""
    if os.geteuid() != 0:
        return "not root: run it with sudo, or in a container with --privileged"
    if not Path("/dev/fuse").exists():
        return "no /dev/fuse: modprobe fuse, or docker run --device /dev/fuse --cap-add SYS_ADMIN"
    packages = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    if packages:
        return f"apt-get install --no-install-recommends {' '.join(packages)}"
    return None


class SshfsMounts:
    """``with SshfsMounts(folder) as mounts:`` two mounts of one directory.

    ``options`` are sshfs's own (``-o``), for both. Without any: what a person gets, who knows none.
    """

    def __init__(self, folder: Path, options: str = "") -> None:
        self.mounts = [folder / "mount1", folder / "mount2"]
        self._folder = folder
        self._options = options
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._start_server()
            for mount in self.mounts:
                self._mount(mount)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for mount in self.mounts:
            if _is_mounted(mount):
                subprocess.run(["umount", str(mount)], check=False, timeout=UP_SECONDS)
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(UP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(UP_SECONDS)
        self._processes.clear()

    def _start_server(self) -> None:
        folder = self._folder
        for key in ("host", "user"):
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
            subprocess.run(argv, check=True, timeout=UP_SECONDS)
        (folder / "shared").mkdir()
        with suppress(FileExistsError):
            Path("/run/sshd").mkdir(mode=0o755)  # sshd wants it, and its service is not started
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        settings = {
            "Port": self._port,
            "ListenAddress": "127.0.0.1",
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "user.pub",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "PermitRootLogin": "prohibit-password",
            "Subsystem": "sftp internal-sftp",
        }
        lines = [f"{name} {value}" for name, value in settings.items()]
        (folder / "sshd_config").write_text("\n".join(lines) + "\n")
        self._spawn("/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config"))

        def answers() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except OSError:
                return False
            return True

        self._wait(answers, "sshd")

    def _mount(self, mount: Path) -> None:
        mount.mkdir()
        options = [
            f"IdentityFile={self._folder / 'user'}",
            "StrictHostKeyChecking=no",
            f"UserKnownHostsFile={self._folder / 'known'}",
            *filter(None, self._options.split(",")),
        ]
        words = [word for option in options for word in ("-o", option)]
        shared = f"127.0.0.1:{self._folder / 'shared'}"
        self._spawn("sshfs", "-f", "-p", str(self._port), *words, shared, str(mount))
        self._wait(lambda: _is_mounted(mount), "sshfs")

    def _spawn(self, *argv: str) -> None:
        with open(self._folder / "log", "ab") as log:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._processes.append(process)

    def _wait(self, ready: object, name: str) -> None:
        assert callable(ready)
        until = time.monotonic() + UP_SECONDS
        while not ready():
            ended = self._processes[-1].poll() is not None
            if ended or time.monotonic() > until:
                log = (self._folder / "log").read_text(errors="replace")
                raise RuntimeError(f"{name} did not come up: {log}")
            time.sleep(0.05)


def _is_mounted(path: Path) -> bool:
    return any(mount.point == str(path) for mount in undertaker.mounts())
