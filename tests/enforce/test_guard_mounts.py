"""The guard where something else is mounted below a volume: it guards the volume and no more."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from volumelease.enforce.ground import Ground
from volumelease.enforce.places import Part, chart
from volumelease.paths.locate import VolumeRoot
from volumelease.paths.mounts import Mount, mount_of, parse_mounts

from .scripts import python


def in_mounts(*commands: str) -> Sequence[str]:
    """What to put in front of a program that is to see these mounts, alone. Skips without root."""
    words = ["unshare", "--mount", "sh", "-c"]
    try:
        tried = subprocess.run([*words, "mount -t tmpfs none /mnt"], check=False, timeout=60)
    except FileNotFoundError:
        pytest.skip("needs unshare (util-linux)")
    if tried.returncode:
        pytest.skip("no mount namespaces here")
    return [*words, " && ".join([*commands, 'exec "$@"']), "sh"]


@pytest.fixture
def second(volume: Path) -> str:
    """A command that mounts a second volume below the first, at ``inner``."""
    (volume / "inner").mkdir()
    make = "python -m volumelease init"
    return f"mount -t tmpfs none {volume}/inner && {make} {volume}/inner >{volume.parent}/said 2>&1"


def test_what_is_on_another_disk_below_the_volume_is_written_without_a_lease(
    volume: Path,
) -> None:
    (volume / "cache").mkdir()
    said = python(
        """
        import shutil
        C = V / "cache"
        with volume_lease(V / "a"):
            (C / "f").write_text("x"); (C / "f").chmod(0o600); (C / "f").rename(C / "g")
            (C / "d/e").mkdir(parents=True); (C / "d/e/f").touch(); C.chmod(0o700)
            shutil.rmtree(C / "d")
            (V / "a/link").symlink_to(C / "h"); (V / "a/link").write_text("x")
            print(*sorted(os.listdir(C)))
            print(denied(lambda: open(V / "b/f", "w")) is not None, end=" ")
            print(denied(lambda: os.mkdir(V / "cached")) is not None, end=" ")
            print(denied(lambda: os.rename(V / "b/f", C / "f")) is not None)
        """,
        volume,
        before=in_mounts(f"mount -t tmpfs none {volume}/cache"),
    )
    assert said == ["g h", "True True True"]


def test_what_is_mounted_and_unmounted_later_is_noticed(volume: Path) -> None:
    (volume / "cache").mkdir()
    said = python(
        """
        import subprocess
        C = V / "cache"
        with volume_lease(V / "a"):
            tried = lambda path: denied((V / path).touch) is None
            print(tried("cache/f"), end=" ")
            subprocess.run(["mount", "-t", "tmpfs", "none", C], check=True)
            print(tried("cache/f"), end=" ")
            (C / "b").mkdir()
            subprocess.run(["mount", "--bind", V / "b", C / "b"], check=True)
            print(tried("cache/b/new"), tried("cache/g"), denied((C / "b/f").unlink) is None)
            subprocess.run(["umount", "--recursive", C], check=True)
            print(tried("cache/f"), tried("cache"), *os.listdir(C))
        """,
        volume,
        before=in_mounts("true"),
    )
    assert said[:2] == ["False True False True False", "False False"]


def test_a_volume_below_another_is_judged_by_its_own_leases(volume: Path, second: str) -> None:
    said = python(
        """
        with volume_lease(V / "a"):
            print(denied((V / "inner/free").touch) is None)
            with volume_lease(V / "inner/x"):
                (V / "inner/x").mkdir(); (V / "inner/x/f").touch(); (V / "a/f").touch()
                print(denied((V / "inner/y").touch))
                print(denied((V / "b/f").unlink) is not None)
            print(denied((V / "inner/x/f").unlink) is not None)
        """,
        volume,
        before=in_mounts(second),
    )
    assert said[0] == "True"
    assert said[1] == (
        f"[Errno 13] open for writing {volume}/inner/y needs a lease. Nobody holds it. "
        f'Wrap it in volume_lease("{volume}/inner/y")'
    )
    assert said[2:] == ["True", "True"]


def test_a_part_of_the_volume_bound_into_it_goes_by_its_own_name(volume: Path) -> None:
    (volume / "again").mkdir()
    said = python(
        """
        import subprocess
        with volume_lease(V / "again"):  # which is a
            (V / "again/f").touch(); (V / "a/g").touch()
            subprocess.run(["umount", V / "again"], check=True)
            print(denied((V / "again/h").touch) is not None)
        with volume_lease(V / "b"):
            subprocess.run(["mount", "--bind", V / "b", V / "again"], check=True)
            print(denied((V / "again/new").touch) is None)
            subprocess.run(["umount", V / "again"], check=True)
            subprocess.run(["mount", "--bind", V / "a", V / "again"], check=True)
            print(denied((V / "again/f").unlink) is not None, *sorted(os.listdir(V / "a")))
        """,
        volume,
        before=in_mounts(f"mount --bind {volume}/a {volume}/again"),
    )
    assert said[:3] == ["True", "True", "True f g"]


MOUNTS = b"""\
20 1 8:1 / / rw - ext4 /dev/vda rw
21 20 0:50 /team /vol rw - fuse.mfs master:9421 rw
22 21 0:60 / /vol/scratch rw - tmpfs none rw
23 21 0:50 /team/a /vol/again rw - fuse.mfs master:9421 rw
24 21 0:50 /other /vol/beside rw - fuse.mfs master:9421 rw
25 21 0:51 / /vol/twice rw - fuse.mfs master:9421 rw
26 22 0:51 /d /vol/scratch/twice rw - fuse.mfs master:9421 rw
27 22 0:50 /team/b /vol/scratch/b rw - fuse.mfs master:9421 rw
28 21 0:52 / /vol/home rw - nfs4 server:/home rw
29 20 0:50 /team/m /mnt/m rw - fuse.mfs master:9421 rw
30 29 8:2 / /mnt/m/disk rw - ext4 /dev/vdb rw
31 20 8:3 / /elsewhere rw - ext4 /dev/vdc rw
"""
TABLE = parse_mounts(MOUNTS)


def at(place: str, mounts: Sequence[Mount] = TABLE) -> VolumeRoot:
    return VolumeRoot(place, place, mount_of(place, mounts), initialised=True, device=51)


def names(parts: Sequence[Part]) -> dict[str, str | None]:
    assert [len(part.place) for part in parts] == sorted(
        (len(part.place) for part in parts), reverse=True
    )
    return {part.place: part.name for part in parts}


EVERYWHERE = {
    "/vol": "",
    "/vol/scratch": None,
    "/vol/again": "a",
    "/vol/beside": None,
    "/vol/twice": "twice",
    "/vol/scratch/twice": "scratch/twice",
    "/vol/scratch/b": "b",
    "/vol/home": None,
    "/mnt/m": "m",
    "/mnt/m/disk": None,
}


def test_each_mount_below_a_volume_is_the_volume_or_off_it() -> None:
    """A second network mount of the volume's kind may show the volume, under another device: it
    stays a part of it, as its path says."""
    found = chart(at("/vol"), TABLE)
    assert names(found) == EVERYWHERE
    assert {part.place for part in found if not part.inner} == {"/vol", "/mnt/m"}
    proofs = {part.place: part.device for part in found if part.device is not None}
    assert proofs == {"/vol/scratch": 60, "/vol/home": 52, "/mnt/m/disk": 8 * 256 + 2}


def test_a_volume_in_use_on_such_a_mount_is_left_to_its_own_ground() -> None:
    found = chart(at("/vol"), TABLE, [at("/vol/twice/x"), at("/vol/again/x"), at("/elsewhere")])
    assert names(found) == {**EVERYWHERE, "/vol/twice/x": None}


def test_a_volume_that_was_mounted_anew_is_still_the_volume() -> None:
    """With another device number, as that of an overlay has."""
    table = b"""\
20 1 8:1 / / rw - ext4 /dev/vda rw
21 20 0:70 / /vol rw - overlay overlay rw
22 21 0:70 /a /vol/again rw - overlay overlay rw
23 21 0:60 / /vol/scratch rw - tmpfs none rw
"""
    before = at("/vol", parse_mounts(table))
    found = chart(before, parse_mounts(table.replace(b"0:70", b"0:71")))
    assert names(found) == {"/vol": "", "/vol/again": "again", "/vol/scratch": None}


def test_without_the_table_of_mounts_all_below_the_volume_is_the_volume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = [MOUNTS]
    monkeypatch.setattr("volumelease.enforce.ground.read_table", lambda: table[0])
    ground = Ground(at("/vol"), "v")
    assert ground.name_now("/vol/again/f") == "a/f"
    assert ground.name_now("/vol/scratch/f") is None
    table[0] = b""
    assert ground.name_now("/vol/again/f") == "again/f"
    assert ground.name_now("/vol/scratch/f") == "scratch/f"
    assert ground.name_now("/mnt/m/f") == "m/f"
