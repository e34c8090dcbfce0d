"""The mount and the machine that a run took place on, and what may not be measured."""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import Final

from volumelease import __version__
from volumelease.errors import VolumeNotFound
from volumelease.paths.locate import PLATFORM_MOUNT
from volumelease.paths.mounts import UNSEEN, Mount, judge, mount_of, read_mounts
from volumelease.paths.resolve import below

from .document import Environment, Flag, MountFacts
from .options import Options
from .problems import BenchProblem, explain

_MEMORY: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
MISSED: Final = "so a volume that should be mounted there is not, and this disk would be measured"


def mount_facts(directory: str, *, local: bool) -> MountFacts:
    """What is mounted at an existing directory.

    Errors: ``BenchProblem`` when it is none, or on no mount of its own: the disk beneath a mount
    that is missing reads at 15 GB/s (measured), and looks like a very good volume. ``local``
    allows it.
    """
    real = os.path.realpath(directory)
    try:
        if not os.path.isdir(real):
            os.stat(real)
            raise NotADirectoryError(20, "Not a directory")
        space = os.statvfs(real)
    except OSError as error:
        explain(error, directory)
    mounts = read_mounts()
    mount = mount_of(real, mounts)
    if not local:
        refuse_what_is_beneath(directory, real, mount)
    return {
        "directory": real,
        "mount_point": mount.mount_point,
        "fstype": mount.fstype,
        "source": mount.source,
        "options": list(mount.options),
        "super_options": list(mount.super_options),
        "device": mount.device,
        "network": judge(mount).shared,
        "total_bytes": space.f_blocks * space.f_frsize,
        "free_bytes": space.f_bavail * space.f_frsize,
    }


def refuse_what_is_beneath(directory: str, real: str, mount: Mount) -> None:
    """Refuse what lies on the root file system, or below the place of the platform's volume
    without being mounted there. Errors: ``VolumeNotFound``, ``BenchProblem``."""
    top = os.path.realpath(PLATFORM_MOUNT)
    if below(real, top) is not None and below(mount.mount_point, top) is None:
        raise VolumeNotFound(
            f"{directory} is on no volume: {PLATFORM_MOUNT} is no mount, so no network volume is "
            "attached here",
            advice="Attach a network volume to the endpoint or Pod",
            path=directory,
        )
    if mount is UNSEEN:
        raise BenchProblem(
            f"it can't be seen what is mounted at {directory}: /proc/self/mountinfo does not say",
            advice="Measure it anyway, as a disk of this machine: volumelease bench DIR --local",
            path=directory,
        )
    if mount.mount_point == "/":
        raise BenchProblem(
            f"nothing is mounted at {directory}: it is on the disk of this machine "
            f"({mount.fstype} at /), {MISSED}",
            advice=f"Mount the volume; to measure this disk: volumelease bench {directory} --local",
            path=directory,
        )


def is_the_volume(facts: MountFacts) -> bool:
    """Whether what is measured there can be a volume at all: not memory, not the root disk."""
    return facts["mount_point"] != "/" and facts["fstype"] not in _MEMORY


def flags_of_the_place(facts: MountFacts) -> list[Flag]:
    """What speaks against all that is measured there."""
    if not is_the_volume(facts):
        return ["not-the-volume"]
    return [] if facts["network"] else ["local-disk"]


def local_disk(facts: MountFacts) -> str:
    """What to say first of a mounted disk of this machine, whose verdicts are those of a volume
    of its speed; "" of anything else. Limit: by its name, which whoever mounts chooses."""
    if "local-disk" not in flags_of_the_place(facts):
        return ""
    return (
        f"this is a disk of this machine ({facts['fstype']}) and no network volume: the verdict "
        "only says how fast that disk is"
    )


def environment(options: Options, command: list[str]) -> Environment:
    """The machine now; ``seconds``, ``generator`` and ``engine_version`` are filled in later."""
    return {
        "version": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "load_average": os.getloadavg()[0],
        "started_utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": 0.0,
        "command": command or sys.argv,
        "engine": options.engine,
        "engine_version": __version__,
        "generator": [],
    }


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() in ("model name", "Hardware", "cpu model"):
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
