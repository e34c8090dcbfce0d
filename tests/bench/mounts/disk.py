"""A disk in memory whose speed the kernel itself limits: the blkio throttle of cgroup v1."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.bed import undertaker
from tests.bed.network import BedError, program, run

from .estate import Estate, Mounted, MountError

CONTROLLER: Final = Path("/sys/fs/cgroup/blkio")
PROGRAMS: Final = {"losetup": "mount", "mkfs.ext4": "e2fsprogs", "mount": "mount"}
_INTO: Final = 'echo $$ > "$0" && exec "$@"'


def missing_throttle() -> str | None:
    """Why there can be no such disk here and what to do about it; None when there can."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "not root on Linux: run it with sudo, or in a container with --privileged"
    if not (CONTROLLER / "blkio.throttle.read_bps_device").exists():
        return (
            "no blkio throttle of cgroup v1: boot with systemd.unified_cgroup_hierarchy=0 and a "
            "kernel with CONFIG_BLK_DEV_THROTTLING (version 2 has no throttle on its root)"
        )
    if not Path("/dev/loop-control").exists():
        return "no loop devices: modprobe loop, or a container with --privileged"
    for name, package in PROGRAMS.items():
        try:
            program(name)
        except BedError:
            return f"no {name}: apt-get install --no-install-recommends {package}"
    return None


class ThrottledDisk(Mounted):
    """``with ThrottledDisk(200e6) as disk:`` an ext4 on a loop device, its image in memory.

    Only processes started through ``command`` are held to the speed, each direction by itself.
    Exact with O_DIRECT; buffered writes are the kernel's own and escape it. Holds
    ``size_bytes``. Raises ``MountError``.
    """

    def __init__(self, bytes_per_second: float, size_bytes: int = 2 << 30) -> None:
        self._estate = Estate("vldisk")
        self._rate = int(bytes_per_second)
        self._size = size_bytes
        self._group = CONTROLLER / self._estate.directory.name
        self.path = self._estate.directory / "mount"

    def start(self) -> None:
        image = self._estate.directory / "image"
        with image.open("wb") as file:
            file.truncate(self._size)
        try:
            device = self._attach(image)
            try:
                self._mount(device)
            finally:
                run([program("losetup"), "-d", device])  # from now on it goes with its mount
        except BedError as error:
            raise MountError(str(error)) from error
        self._throttle(device)

    def _attach(self, image: Path) -> str:
        return run([program("losetup"), "--find", "--show", str(image)]).strip()

    def _mount(self, device: str) -> None:
        options = ("-q", "-F", "-O", "^has_journal", "-E", "nodiscard,lazy_itable_init=0")
        run([program("mkfs.ext4"), *options, device], seconds=60)
        self.path.mkdir()
        self._estate.own("mount", self.path)
        run([program("mount"), device, str(self.path)])

    def _throttle(self, device: str) -> None:
        self._estate.own("directory", self._group)
        self._group.mkdir()
        number = os.stat(device).st_rdev
        rule = f"{os.major(number)}:{os.minor(number)} {self._rate}"
        for way in ("read", "write"):
            (self._group / f"blkio.throttle.{way}_bps_device").write_text(rule)

    def command(self, argv: Sequence[str]) -> list[str]:
        """``argv`` prefixed so that it, and what it starts, is held to the speed."""
        return ["sh", "-c", _INTO, str(self._group / "cgroup.procs"), *argv]

    def close(self) -> None:
        if any(mount.point == str(self.path) for mount in undertaker.mounts()):
            subprocess.run([program("umount"), str(self.path)], check=False, timeout=60)
        self._estate.bury()
