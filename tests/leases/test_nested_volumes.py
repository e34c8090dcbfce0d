"""A volume inside a volume would give two leases on one path: it is refused, however it came."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from volumelease.authorities.volume import founding
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.effects import Effect, Symlink
from volumelease.errors import VolumeUnsuitable
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import DEMO_PREFIX

SOURCE = str(Path(__file__).parents[2] / "src")


def make_volume(root: Path) -> None:
    """As any worker would, however it is nested: old versions did."""
    wanted = founding.Founding(os.urandom(8).hex(), 3.0, 0.0, ready=True)
    Monitor(Files()).run(founding.found(str(root), wanted))


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    root = tmp_path / "volume"
    (root / "sub").mkdir(parents=True)
    make_volume(root)
    return root


@pytest.fixture
def using() -> Iterator[Callable[..., Volumes]]:
    """A worker, with that directory as its VOLUMELEASE_VOLUME."""
    made: list[Volumes] = []

    def use(volume: Path | None = None, **changes: Any) -> Volumes:
        here = Surroundings.of_this_process()._replace(report=print, **changes)
        named = None if volume is None else str(volume)
        made.append(Volumes(here._replace(settings=here.settings._replace(volume=named))))
        return made[-1]

    yield use
    for volumes in made:
        volumes.close()


def refused(volumes: Volumes, path: Path) -> VolumeUnsuitable:
    with pytest.raises(VolumeUnsuitable) as caught, volume_lease(path, volumes=volumes):
        pass
    return caught.value


def test_a_directory_of_a_volume_that_a_setting_names_is_made_none(
    outer: Path, using: Callable[..., Volumes]
) -> None:
    error = refused(using(outer / "sub"), outer / "sub/x")
    assert f"{outer / 'sub'} is on the volume {outer}" in error.what
    assert f"VOLUMELEASE_VOLUME to {outer}" in error.advice
    assert not (outer / "sub/.volumelease").exists()
    with volume_lease(outer / "sub/x", volumes=using()) as lease:
        assert lease.paths == (f"{outer}/sub/x",)


def test_a_volume_made_around_another_one_is_noticed_where_the_inner_one_is_used(
    tmp_path: Path, using: Callable[..., Volumes]
) -> None:
    inner = tmp_path / "a/b/inner"
    inner.mkdir(parents=True)
    make_volume(inner)
    volumes = using()
    with volume_lease(inner / "x", volumes=volumes):
        pass
    make_volume(tmp_path)
    for worker in (using(), using(inner)):
        error = refused(worker, inner / "x")
        assert f"{inner} is on the volume {tmp_path}" in error.what
        assert f"volumelease uninstall {inner}" in error.advice
    volumes._sessions.clear()  # as after a loss
    refused(volumes, inner / "x")
    with volume_lease(tmp_path / "a", volumes=using()) as lease:
        assert lease.paths == (f"{tmp_path}/a",)


def test_a_volume_that_was_copied_into_itself_is_refused_and_its_rest_goes_on(
    outer: Path, using: Callable[..., Volumes]
) -> None:
    shutil.copytree(outer / ".volumelease", outer / "sub/.volumelease", symlinks=True)
    assert f"mv {outer}/sub/.volumelease " in refused(using(), outer / "sub/x").advice
    with volume_lease(outer / "other", volumes=using()):
        pass
    with volume_lease(outer / "sub/x", volumes=using(outer)) as lease:
        assert lease.paths == (f"{outer}/sub/x",)


def test_a_control_directory_without_an_identity_is_no_volume(
    outer: Path, tmp_path: Path, using: Callable[..., Volumes]
) -> None:
    (tmp_path / ".volumelease").mkdir()
    with volume_lease(outer / "x", volumes=using(outer)):
        pass
    (tmp_path / ".volumelease").rmdir()
    (tmp_path / ".volumelease").symlink_to(outer)
    with volume_lease(outer / "x", volumes=using()):
        pass
    (outer / "sub/.volumelease").mkdir()  # a copy that has just begun
    with volume_lease(outer / "sub/x", volumes=using()) as lease:
        assert lease.paths == (f"{outer}/sub/x",)


def test_an_outer_volume_whose_leases_a_redis_keeps_counts_too(
    tmp_path: Path, using: Callable[..., Volumes]
) -> None:
    (tmp_path / ".volumelease").mkdir()
    (tmp_path / ".volumelease/identity").write_text("{}")
    (tmp_path / "sub").mkdir()
    refused(using(tmp_path / "sub"), tmp_path / "sub/x")


class OuterFirst(Files):
    """Somebody makes a volume of the directory above right before this one is elected."""

    def __init__(self, above: Path) -> None:
        super().__init__()
        self._above = above

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Symlink) and effect.name.endswith("sub/.volumelease/identity"):
            make_volume(self._above)
        return super().perform(effect)


def test_of_two_that_are_made_in_one_moment_the_inner_one_is_refused(
    tmp_path: Path, using: Callable[..., Volumes]
) -> None:
    (tmp_path / "sub").mkdir()
    refused(using(tmp_path / "sub", performer=OuterFirst(tmp_path)), tmp_path / "sub/x")
    assert (tmp_path / ".volumelease/identity").is_symlink()


def test_a_volume_of_a_demonstration_may_lie_on_a_volume(
    outer: Path, using: Callable[..., Volumes]
) -> None:
    inner = outer / f"{DEMO_PREFIX}0123abcd"
    inner.mkdir()
    make_volume(inner)
    for worker in (using(), using(inner)):
        with volume_lease(inner / "x", volumes=worker) as lease:
            assert lease.paths == (f"{inner}/x",)
    (outer / f"{DEMO_PREFIX}mine").mkdir()
    refused(using(outer / f"{DEMO_PREFIX}mine"), outer / f"{DEMO_PREFIX}mine/x")


def test_the_way_out_is_open(outer: Path, using: Callable[..., Volumes]) -> None:
    make_volume(outer / "sub")
    refused(using(), outer / "sub/x")
    done = subprocess.run(
        [sys.executable, "-m", "volumelease", "uninstall", outer / "sub", "--yes"],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with volume_lease(outer / "sub/x", volumes=using()) as lease:
        assert lease.paths == (f"{outer}/sub/x",)


MOUNTS = """
import json, os, subprocess, sys
from volumelease.errors import LeaseError
from volumelease.paths.locate import locate

top = sys.argv[1]

def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)

def root(path, explicit=None):
    try:
        return locate(f"{top}/{path}", explicit=explicit and f"{top}/{explicit}").real_root
    except LeaseError as error:
        return type(error).__name__

def volume(path):
    os.makedirs(f"{top}/{path}/.volumelease", exist_ok=True)
    os.symlink("{}", f"{top}/{path}/.volumelease/identity")

os.makedirs(f"{top}/disk")
mount("-t", "tmpfs", "disk", f"{top}/disk")
volume("disk/outer")
os.makedirs(f"{top}/disk/outer/part")
os.makedirs(f"{top}/disk/outer/other")
os.makedirs(f"{top}/disk/outer/bound")
os.makedirs(f"{top}/shown")
mount("-t", "tmpfs", "other", f"{top}/disk/outer/other")
volume("disk/outer/other")
volume("disk/elsewhere")
mount("--bind", f"{top}/disk/elsewhere", f"{top}/disk/outer/bound")
mount("--bind", f"{top}/disk/outer/part", f"{top}/shown")
print(json.dumps({
    "another file system": root("disk/outer/other/x"),
    "named": root("disk/outer/other/x", "disk/outer/other"),
    "from beside it": root("disk/outer/bound/x"),
    "from beside it, named": root("disk/outer/bound/x", "disk/outer/bound"),
    "a part of it, named": root("shown/x", "shown"),
}))
"""


def test_what_counts_is_the_place_in_the_file_system(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", MOUNTS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.returncode == 0, done.stderr
    other, bound = (f"{tmp_path}/disk/outer/{name}" for name in ("other", "bound"))
    assert json.loads(done.stdout) == {
        "another file system": other,
        "named": other,
        "from beside it": bound,
        "from beside it, named": bound,
        "a part of it, named": "VolumeUnsuitable",
    }
