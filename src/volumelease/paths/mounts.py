"""The mounts of this host, and which of them may carry the log.

The verdicts come from measurements (a log of symlinks driven from two hosts) and from what is
known about a file system. A name is only a hint about a mount nobody measured: then the verdict
is "unknown", and a person has to say that it is fit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Suitability = Literal["proven", "refused", "unknown"]

_LOCAL: Final = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "ramfs", "overlay", "f2fs", "bcachefs"}
)
_CEPH: Final = frozenset({"ceph", "fuse.ceph", "fuse.ceph-fuse"})
_MOOSE_TYPES: Final = frozenset({"fuse.mfs", "fuse.moosefs"})
_MOOSE_SOURCE: Final = re.compile(r"(mfs#.*|[\w.-]+:9421(:.*|/.*)?)\Z")

_OBJECT_STORE: Final = "it shows an object store, where creating a name is not exclusive"
_REFUSED: Final = {
    "fuse.glusterfs": "entries of a log appear to one host and vanish again (measured)",
    "fuse.sshfs": "locks stay on this host and renames are seen 20 s late (measured)",
    "fuse.geesefs": _OBJECT_STORE,
    "fuse.s3fs": _OBJECT_STORE,
    "fuse.goofys": _OBJECT_STORE,
    "fuse.rclone": _OBJECT_STORE,
    "fuse.gcsfuse": _OBJECT_STORE,
    "fuse.blobfuse": _OBJECT_STORE,
    "fuse.blobfuse2": _OBJECT_STORE,
    "fuse.mountpoint-s3": _OBJECT_STORE,
    "proc": "it stores no files",
    "sysfs": "it stores no files",
    "devtmpfs": "it is for devices",
    "vfat": "it has no symlinks",
    "exfat": "it has no symlinks",
    "squashfs": "it is read-only",
    "iso9660": "it is read-only",
}


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    mount_point: str
    root: str
    fstype: str
    source: str
    options: tuple[str, ...]
    device: str

    @property
    def read_only(self) -> bool:
        return "ro" in self.options

    def inside(self, path: str) -> str:
        """Where ``path`` (resolved, on this mount) is in the file system itself."""
        rest = path[len(self.mount_point.rstrip("/")) :]
        return (self.root.rstrip("/") + rest) or "/"


UNSEEN: Final = Mount("/", "/", "unknown", "unknown", (), "0:0")
"""Stands for the mount of a path when this process can't see its mounts (no /proc)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a mount may carry the log, why, and whether other hosts can share it at all."""

    suitable: Suitability
    reason: str
    shared: bool


def parse_mountinfo(lines: Iterable[str]) -> list[Mount]:
    """The mounts of ``/proc/<pid>/mountinfo``, in its order; see proc(5)."""
    mounts = []
    for line in lines:
        before, separator, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if not separator or len(fields) < 6 or len(rest) < 2:
            continue
        mounts.append(
            Mount(
                mount_point=_unescape(fields[4]),
                root=_unescape(fields[3]),
                fstype=rest[0],
                source=_unescape(rest[1]),
                options=tuple(fields[5].split(",")),
                device=fields[2],
            )
        )
    return mounts


def mount_of(path: str, mounts: Iterable[Mount] | None = None) -> Mount:
    """The mount that holds the resolved absolute ``path``: the last one mounted over the longest
    prefix. Without mountinfo (no /proc), a mount of unknown kind."""
    best: Mount | None = None
    for mount in read_mounts() if mounts is None else mounts:
        point = mount.mount_point.rstrip("/")
        inside = path == point or path.startswith(point + "/")
        if inside and (best is None or len(mount.mount_point) >= len(best.mount_point)):
            best = mount
    return best or UNSEEN


def read_mounts(file: str = "/proc/self/mountinfo") -> list[Mount]:
    try:
        with open(file, encoding="utf-8", errors="surrogateescape") as lines:
            return parse_mountinfo(lines)
    except OSError:
        return []


def is_mount_point(path: str, mounts: Iterable[Mount] | None = None) -> bool:
    """Whether something is mounted exactly there."""
    known = read_mounts() if mounts is None else mounts
    return any(mount.mount_point == path for mount in known)


def judge(mount: Mount) -> Verdict:
    """Whether that mount may carry the log, by what is known of its kind.

    Limit: a name. A kind that is known to work may be mounted with options that break it;
    ``volumelease doctor`` tries it out.
    """
    kind = mount.fstype
    if kind in _MOOSE_TYPES or (kind.startswith("fuse") and _MOOSE_SOURCE.match(mount.source)):
        return Verdict("proven", "MooseFS orders symlinks between hosts", shared=True)
    if kind in _CEPH:
        return Verdict("proven", "CephFS orders symlinks between hosts", shared=True)
    if kind in _LOCAL:
        return Verdict("proven", f"{kind} is local: it serves the processes of one host", False)
    reason = _REFUSED.get(kind)
    if reason is not None:
        return Verdict("refused", f"{kind}: {reason}", shared=True)
    return Verdict("unknown", f"nobody measured {kind} from {mount.source}", shared=True)


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    raw = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match.group(1), 8)]), os.fsencode(text))
    return os.fsdecode(raw)
