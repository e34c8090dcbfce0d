"""Which mounts may carry the log."""

from __future__ import annotations

import pytest

from volumelease.paths.mounts import Mount, judge, may_be_one, mount_of, parse_mounts

LINES = [
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "30 22 0:40 / /runpod-volume rw,nosuid,nodev - fuse mfs#us-1.example:9421 rw,allow_other",
    "31 22 0:41 / /with\\040space rw - tmpfs tmpfs rw",
    "32 30 0:42 /sub /runpod-volume/in ro,relatime shared:7 master:2 - nfs4 server:/x ro",
    "nonsense",
    "",
]
TABLE = "\n".join(LINES).encode()


def test_mountinfo_is_read_with_its_escapes_and_optional_fields() -> None:
    mounts = parse_mounts(TABLE)
    points = [mount.mount_point for mount in mounts]
    assert points == ["/", "/runpod-volume", "/with space", "/runpod-volume/in"]
    assert "ro" in mounts[3].options
    assert mounts[3].root == "/sub"


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/runpod-volume/x", "/runpod-volume"),
        ("/runpod-volume", "/runpod-volume"),
        ("/runpod-volume-2/x", "/"),
        ("/runpod-volume/in/x", "/runpod-volume/in"),
        ("/", "/"),
    ],
)
def test_a_path_lies_on_the_mount_with_the_longest_prefix(path: str, point: str) -> None:
    assert mount_of(path, parse_mounts(TABLE)).mount_point == point


def test_the_last_mount_over_a_place_counts() -> None:
    twice = parse_mounts(TABLE + b"40 30 0:9 / /runpod-volume rw - tmpfs tmpfs rw\n")
    assert mount_of("/runpod-volume/x", twice).fstype == "tmpfs"


@pytest.mark.parametrize(
    ("fstype", "source", "suitable", "shared"),
    [
        ("fuse", "mfs#ca-2.example:9421", "proven", True),
        ("fuse.mfs", "master:9421", "proven", True),
        ("fuse", "master:9421", "proven", True),
        ("ceph", "1.2.3.4:/", "proven", True),
        ("fuse.ceph", "ceph-fuse", "proven", True),
        ("ext4", "/dev/sda", "proven", False),
        ("overlay", "overlay", "proven", False),
        ("fuse.glusterfs", "host:/vol", "refused", True),
        ("fuse.sshfs", "host:", "refused", True),
        ("fuse.geesefs", "bucket", "refused", True),
        ("nfs4", "host:/x", "unknown", True),
        ("fuse.juicefs", "JuiceFS:x", "unknown", True),
        ("fuse", "something", "unknown", True),
    ],
)
def test_a_file_system_is_judged_by_what_was_measured(
    fstype: str, source: str, suitable: str, shared: bool
) -> None:
    verdict = judge(Mount("/m", "/", fstype, source, (), (), "0:1"))
    assert (verdict.suitable, verdict.shared) == (suitable, shared)
    assert verdict.reason


@pytest.mark.parametrize(
    ("one", "other", "may_be"),
    [
        (("tmpfs", "x", "0:1"), ("tmpfs", "x", "0:1"), True),
        (("tmpfs", "x", "0:1"), ("tmpfs", "x", "0:2"), False),
        (("ext4", "/dev/sda", "8:1"), ("fuse", "mfs#m:9421", "0:2"), False),
        (("fuse.mfs", "m:9421", "0:1"), ("fuse", "mfs#10.0.0.1:9421", "0:2"), True),
        (("fuse.ceph-fuse", "ceph-fuse", "0:1"), ("ceph", "1.2.3.4:/", "0:2"), True),
        (("nfs", "server:/x", "0:1"), ("nfs4", "server:/", "0:2"), True),
        (("fuse.mfs", "m:9421", "0:1"), ("nfs4", "server:/home", "0:2"), False),
        (("fuse.mfs", "m:9421", "0:1"), ("overlay", "overlay", "0:2"), False),
    ],
)
def test_two_mounts_of_a_network_file_system_may_be_one(
    one: tuple[str, str, str], other: tuple[str, str, str], may_be: bool
) -> None:
    mounts = [Mount("/m", "/", fstype, source, (), (), at) for fstype, source, at in (one, other)]
    assert may_be_one(*mounts) == may_be_one(*mounts[::-1]) == may_be
