"""A directory in memory behind FUSE, with a set speed, latency and credit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tests.bed import undertaker
from tests.bed.network import BedError
from tests.bed.servers import wait_until

from .estate import Estate, Mounted, MountError

ROOT: Final = Path(__file__).parents[3]
LITTLE_CREDIT: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What the mount gives; 0 is no limit.

    ``bytes_per_second`` is shared by all, in both directions together;
    ``stream_bytes_per_second`` is for each open file. ``request_seconds`` is added to each request
    of up to 1 MiB and ``metadata_seconds`` to each operation on a name. ``credit_bytes`` is what
    goes through at full speed after a time without use.
    """

    bytes_per_second: float = 0
    stream_bytes_per_second: float = 0
    request_seconds: float = 0
    metadata_seconds: float = 0
    credit_bytes: float = LITTLE_CREDIT
    stream_credit_bytes: float = LITTLE_CREDIT
    attribute_cache_seconds: float = 1.0
    keeps_pages: bool = False
    """Whether the kernel keeps what it knows of a file when it is opened again, as it does for a
    file on a network volume that nobody else changed."""
    source: str = "throttled"
    kind: str = "throttled"


def missing_fuse() -> str | None:
    """Why there can be no such mount here and what to do about it; None when there can."""
    if not sys.platform.startswith("linux"):
        return "no Linux: the throttled mount needs FUSE"
    if os.geteuid() != 0:
        return "not root: run it with sudo, or in a container with --privileged"
    if not Path("/dev/fuse").exists():
        return "no /dev/fuse: modprobe fuse, or docker run --device /dev/fuse --cap-add SYS_ADMIN"
    if find_spec("mfusepy") is None:
        return "no mfusepy: pip install mfusepy"
    try:
        import mfusepy  # noqa: F401
    except OSError as error:
        return f"no libfuse ({error}): apt-get install --no-install-recommends fuse3"
    return None


class ThrottledMount(Mounted):
    """``with ThrottledMount(Limits(bytes_per_second=200e6)) as mount:`` an empty directory.

    Accurate to 1 % up to 3 GB/s while the machine has a core to spare for it; one job gets about
    2.5 GB/s. Limit: an in-place change of ``backing`` is not seen by a mount that caches it.
    Raises ``MountError``.
    """

    def __init__(self, limits: Limits) -> None:
        self._estate = Estate("vlthrottled")
        self._limits = limits
        self.backing = self._estate.directory / "backing"
        self.path = self._estate.directory / "mount"

    def start(self) -> None:
        self.backing.mkdir()
        self.path.mkdir()
        self._estate.own("mount", self.path)
        log = self._estate.directory / "log"
        limits = json.dumps(asdict(self._limits))
        program = "tests.bench.mounts.passthrough"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", program, str(self.backing), str(self.path), limits],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._process = process
        self._estate.own_process(process)
        try:
            wait_until(self._is_mounted, process, log, "the throttled mount")
        except BedError as error:
            raise MountError(str(error)) from error

    def close(self) -> None:
        self._estate.bury()
        if hasattr(self, "_process"):
            self._process.wait(10)

    def _is_mounted(self) -> bool:
        return any(mount.point == str(self.path) for mount in undertaker.mounts())
