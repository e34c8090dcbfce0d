"""What is mounted where, and whether leases can live on it.

Source: proc_pid_mountinfo(5). The judgements are measured: see ``judge``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from .resolve import below

MOUNTINFO: Final = "/proc/self/mountinfo"


class Mount(NamedTuple):
    """One mount as this process sees it.

    ``root`` is the directory of the file system that shows up at ``mount_point`` (not ``/`` for a
    bind mount of a subdirectory); ``device`` ("major:minor") is the same for every mount of one
    file system; ``options`` are of this mount, ``super_options`` of its file system.
    """

    mount_point: str
    root: str
    fstype: str
    source: str
    options: tuple[str, ...]
    super_options: tuple[str, ...]
    device: str

    def inside(self, path: str) -> str:
        """Where ``path``, a real path on this mount, lies in the file system itself: the same
        file has the same answer through every mount of that file system."""
        rest = below(path, self.mount_point) or ""
        return f"{self.root.rstrip('/')}/{rest}".rstrip("/") or "/"


UNSEEN: Final = Mount("/", "/", "", "", (), (), "")
"""Stands for the mount of a path when /proc doesn't tell: nothing is known of it."""


# ---- reading


def read_mounts(source: str = MOUNTINFO) -> tuple[Mount, ...]:
    """The mounts of this process; none when /proc is not there."""
    return parse_mounts(read_table(source))


def read_table(source: str = MOUNTINFO) -> bytes:
    """What ``parse_mounts`` takes: two that are equal tell of the same mounts. Empty when it
    can't be read."""
    try:
        with open(source, "rb") as file:
            return file.read()
    except OSError:
        return b""


def parse_mounts(table: bytes) -> tuple[Mount, ...]:
    """The mounts that a path can reach, in the order of the table, one for each mount point.

    Left out are those that a later mount hides, on top of them or further up the tree: their
    lines stay in the table. Lines that are no mountinfo are left out too.
    """
    lines = {line.number: line for line in map(_parse_line, table.split(b"\n")) if line}
    taken = {(line.parent, line.point) for line in lines.values() if line.number != line.parent}

    def shadowed(line: _Line | None) -> bool:
        """A path enters a sibling of it, or of a mount that it lies on, before it gets here."""
        depth = len(lines)
        while line is not None and depth:
            if any((line.parent, point) in taken for point in _above(line.point)):
                return True
            line = lines.get(line.parent)
            depth -= 1  # the uppermost mount can be its own parent
        return False

    return tuple(
        line.mount
        for line in lines.values()
        if (line.number, line.point) not in taken and not shadowed(line)
    )


class _Line(NamedTuple):
    number: int
    parent: int
    mount: Mount

    @property
    def point(self) -> str:
        return self.mount.mount_point


def _parse_line(line: bytes) -> _Line | None:
    try:
        # The separator ends the optional fields, of which there are none to many.
        ours, _, theirs = line.partition(b" - ")
        number, parent, device, root, point, options = map(_text, ours.split(b" ")[:6])
        fstype, source, super_options = map(_text, theirs.split(b" ")[:3])
        return _Line(
            int(number),
            int(parent),
            Mount(
                mount_point=point,
                root=root,
                fstype=fstype,
                source=source,
                options=tuple(options.split(",")),
                super_options=tuple(super_options.split(",")),
                device=device,
            ),
        )
    except ValueError:
        return None


def _text(field: bytes) -> str:
    """A field without its octal escapes (blank, tab, newline, backslash and ``#`` have one)."""
    plain, *escaped = field.split(b"\\")
    for part in escaped:
        plain += bytes([int(part[:3], 8)]) + part[3:]
    return plain.decode("utf-8", "surrogateescape")


def _above(path: str) -> list[str]:
    """The directories above an absolute path, nearest first."""
    found = []
    while path not in ("/", ""):
        path = path.rpartition("/")[0] or "/"
        found.append(path)
    return found


def mount_of(path: str, mounts: Sequence[Mount] | None = None) -> Mount:
    """The mount that a real path (absolute, without links) is on: the longest mount point above
    it, the last one of equals. ``UNSEEN`` if none of ``mounts`` is above it, as in a chroot.

    ``mounts`` are this process's if left out.
    """
    best = UNSEEN
    for mount in read_mounts() if mounts is None else mounts:
        longer = best is UNSEEN or len(mount.mount_point) >= len(best.mount_point)
        if longer and below(path, mount.mount_point) is not None:
            best = mount
    return best


# ---- judging


class Verdict(NamedTuple):
    """Whether a mount can carry leases, and why.

    ``proven``: yes. ``refused``: no, whatever the user says. ``unknown``: only after a proof from
    two hosts, or on the user's word. ``shared``: other hosts may see the same files; without it,
    leases hold among the processes of one host only.
    """

    suitable: Literal["proven", "refused", "unknown"]
    reason: str
    shared: bool


_LOCALS: Final = (
    "aufs bcachefs btrfs ext2 ext3 ext4 f2fs jfs nilfs2 overlay ramfs reiserfs tmpfs xfs zfs"
)
_LOCAL: Final = frozenset(_LOCALS.split())
_CEPH: Final = frozenset({"ceph", "ceph-fuse"})
_MOOSEFS: Final = frozenset({"mfs", "moosefs"})
_MOOSEFS_PORT: Final = ":9421"

_OBJECT_STORE: Final = (
    "an object store behind it has no exclusive create: two hosts can both win the same entry"
)
_OBJECT_STORES: Final = (
    "blobfuse blobfuse2 cosfs gcsfuse geesefs goofys mountpoint-s3 obsfs ossfs rclone s3fs"
)
_REFUSED: Final = {
    "glusterfs": "entries of the log appear and vanish again there (measured on GlusterFS 10)",
    "sshfs": "it shows another host's changes up to 20 s late and keeps locks local "
    "(measured on sshfs 3.7)",
    "vboxsf": "it is a folder of the host machine without exclusive symlinks",
    **dict.fromkeys(_OBJECT_STORES.split(), _OBJECT_STORE),
    **dict.fromkeys(("exfat", "msdos", "vfat"), "it has no symlinks, and the log is made of them"),
    **dict.fromkeys(("erofs", "iso9660", "squashfs"), "it is read-only"),
}
_UNKNOWN: Final = {
    "9p": "a folder of the host machine or of another one",
    "beegfs": "BeeGFS was not measured",
    "cifs": "SMB was not measured, and may have no symlinks",
    "gpfs": "GPFS was not measured",
    "juicefs": "JuiceFS was not measured",
    "lustre": "Lustre was not measured",
    "nfs": "NFS was not measured: its caches depend on its options",
    "nfs4": "NFS was not measured: its caches depend on its options",
    "smb3": "SMB was not measured, and may have no symlinks",
    "virtiofs": "a folder of the host machine, with whatever is beneath it",
}


def judge(mount: Mount) -> Verdict:
    """Whether leases can live on that mount, by its name; nothing is tried out.

    ``proven`` are MooseFS and CephFS (a symlink log with four contenders on two hosts, no bad
    generation) and local file systems, which serve one host. Limit: whoever mounts chooses the
    names, so a forged one is believed; ``volumelease doctor --peer`` tries the mount itself.
    """
    kind = _kind(mount)
    shared = kind not in _LOCAL
    if "ro" in mount.options or "ro" in mount.super_options:
        return Verdict("refused", "it is mounted read-only", shared)
    if kind in _MOOSEFS:
        return Verdict("proven", "MooseFS orders symlinks between hosts", shared)
    if kind in _CEPH:
        return Verdict("proven", "CephFS orders symlinks between hosts", shared)
    if not shared:
        return Verdict("proven", f"{kind} is local: its leases hold on this host alone", shared)
    if kind in _REFUSED:
        return Verdict("refused", _REFUSED[kind], shared)
    if not kind:
        return Verdict("unknown", f"{MOUNTINFO} doesn't say what is mounted here", shared)
    return Verdict("unknown", _UNKNOWN.get(kind, f"{kind!r} was not measured"), shared)


def _kind(mount: Mount) -> str:
    """The file system's own name, without ``fuse.``.

    A FUSE mount without a subtype (Debian's mfsmount is one: fstype ``fuse``, source
    ``mfs#host:9421``) is known by its source alone.
    """
    family, _, subtype = mount.fstype.partition(".")
    if family != "fuse" or subtype:
        return subtype or mount.fstype
    source = mount.source.lower()
    host, port, _ = source.partition(_MOOSEFS_PORT)
    if source.startswith("mfs#") or (port and host and "/" not in host):
        return "mfs"
    return source.partition("#")[0].partition(":")[0] or "fuse"


_ONE_FAMILY: Final = {"ceph-fuse": "ceph", "moosefs": "mfs", "nfs4": "nfs", "smb3": "cifs"}


def may_be_one(one: Mount, other: Mount) -> bool:
    """Whether both may show the same file system: by their device, or, of two devices, because
    they are network mounts of one kind. Each FUSE mount has a device of its own, and an NFS mount
    may have. Limit: one that stores its files on another (an overlay, bindfs) counts as its own.
    """
    if one.device == other.device:
        return True
    first, second = _kind(one), _kind(other)
    family = _ONE_FAMILY.get(first, first)
    return first not in _LOCAL and family == _ONE_FAMILY.get(second, second)
