"""What was published goes by the name under which it is public now."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leases.test_volume_lease import found
from volumelease import LeaseTimeout, PathInvalid
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths import resolve
from volumelease.paths.canonical import canonical
from volumelease.paths.locate import locate


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = found(tmp_path)
    yield made
    made.close()


def publish(volumes: Volumes, place: Path, words: str) -> None:
    with volume_lease(place, volumes=volumes) as lease, lease.stage() as draft:
        draft.mkdir()
        (draft / "w").write_text(words)


@pytest.fixture
def moved(volumes: Volumes, tmp_path: Path) -> Path:
    """A version whose directory was renamed after it was published."""
    publish(volumes, tmp_path / "dir/model", "v1")
    with volume_lease(tmp_path, volumes=volumes):
        (tmp_path / "dir").rename(tmp_path / "dir2")
    return tmp_path / "dir2/model"


def name_of(path: Path | str, root: Path) -> str:
    return canonical(path, locate(root, explicit=str(root))).display


def test_a_lease_on_the_directory_covers_a_version_that_was_moved_with_it(
    volumes: Volumes, moved: Path
) -> None:
    other = Volumes(Surroundings.of_this_process()._replace(report=print))
    with volume_lease(moved.parent, volumes=volumes):
        for path in (moved, moved / "w"):
            with pytest.raises(LeaseTimeout), volume_lease(path, timeout=0, volumes=other):
                pass
    other.close()


def test_it_is_published_again_where_it_is_now(volumes: Volumes, moved: Path) -> None:
    publish(volumes, moved, "v2")
    assert (moved / "w").read_text() == "v2"
    assert not (moved.parents[1] / "dir").exists()


def test_a_file_where_its_directory_was_is_not_in_its_way(
    volumes: Volumes, moved: Path, tmp_path: Path
) -> None:
    (tmp_path / "dir").write_text("a file now")
    publish(volumes, moved, "v2")
    assert (moved / "w").read_text() == "v2"


def test_what_is_published_at_the_old_name_is_another_version(
    volumes: Volumes, moved: Path, tmp_path: Path
) -> None:
    publish(volumes, tmp_path / "dir/model", "other")
    assert name_of(moved / "w", tmp_path) == "dir2/model/w"
    assert name_of(tmp_path / "dir/model/w", tmp_path) == "dir/model/w"
    (tmp_path / "alias").symlink_to("dir2/model")
    assert name_of(tmp_path / "alias/w", tmp_path) == "dir2/model/w"


def test_no_name_is_guessed_for_one_that_is_reached_past_its_link(
    moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = os.path.realpath(moved)
    monkeypatch.chdir(moved)
    for path in (f"{version}/w", "w"):
        with pytest.raises(PathInvalid, match="belongs to volumelease"):
            name_of(path, tmp_path)


def test_while_the_link_is_in_place_every_way_leads_to_one_name(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "dir/model"
    publish(volumes, place, "v1")
    shutil.copytree(tmp_path / "dir", tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(place)
    for path in ("w", place / "w", tmp_path / "copy/model/w", os.path.realpath(place / "w")):
        assert name_of(path, tmp_path) == "dir/model/w"
    (tmp_path / "dir").rename(tmp_path / "dir2")
    (tmp_path / "dir").symlink_to("dir2")
    assert name_of(place / "w", tmp_path) == "dir2/model/w"


@pytest.mark.parametrize("kind", ["version", "directory"])
def test_a_version_that_is_replaced_meanwhile_has_its_name(
    volumes: Volumes, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after the kernel said where the path leads."""
    place = tmp_path / "dir/model"
    publish(volumes, place, "v1")
    glance = resolve.glance

    def late(text: str) -> tuple[str, int] | None:
        found = glance(text)
        monkeypatch.setattr("volumelease.paths.canonical.glance", glance)
        if kind == "version":
            publish(volumes, place, "v2")
        else:
            place.unlink()
            place.mkdir()
        return found

    monkeypatch.setattr("volumelease.paths.canonical.glance", late)
    assert name_of(place / "w", tmp_path) == "dir/model/w"
