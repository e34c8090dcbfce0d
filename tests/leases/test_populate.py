"""``populate`` as its users meet it, on a local directory."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leases.test_staging import leftovers
from tests.leases.test_volume_lease import found
from volumelease import LeaseTimeout, PathInvalid, VolumeNotFound, populate
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Volumes


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = found(tmp_path)
    yield made
    made.close()


def _tree(draft: Path) -> None:
    draft.mkdir(exist_ok=True)
    (draft / "w").write_text("x")


def test_what_is_there_is_not_built_again(volumes: Volumes, tmp_path: Path) -> None:
    place = tmp_path / "m" / "llama"
    built: list[Path] = []

    def build(draft: Path) -> None:
        built.append(draft)
        _tree(draft)

    for _ in range(3):
        assert populate(place, build, volumes=volumes) == place
    assert len(built) == 1
    assert (place / "w").read_text() == "x"
    assert populate(place / "w", build, volumes=volumes) == place / "w"
    assert len(built) == 1


def test_one_thread_builds_and_the_others_wait(volumes: Volumes, tmp_path: Path) -> None:
    built: list[Path] = []
    got: list[str] = []

    def build(draft: Path) -> None:
        built.append(draft)
        time.sleep(0.3)
        _tree(draft)

    def worker() -> None:
        got.append((populate(tmp_path / "m", build, volumes=volumes) / "w").read_text())

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert got == ["x"] * 8


def test_a_failed_build_leaves_nothing_and_the_next_one_tries(
    volumes: Volumes, tmp_path: Path
) -> None:
    def fail(draft: Path) -> None:
        _tree(draft)
        raise OSError("the hub is down")

    with pytest.raises(OSError, match="the hub is down"):
        populate(tmp_path / "m", fail, volumes=volumes)
    assert not (tmp_path / "m").exists()
    assert leftovers(tmp_path) == []
    populate(tmp_path / "m", _tree, volumes=volumes)
    assert (tmp_path / "m" / "w").read_text() == "x"


def test_whoever_waits_too_long_gets_a_timeout_and_is_told_meanwhile(
    volumes: Volumes, tmp_path: Path
) -> None:
    building, done = threading.Event(), threading.Event()

    def build(draft: Path) -> None:
        _tree(draft)
        (draft / "w").write_bytes(b"x" * 5_000_000)
        building.set()
        done.wait(30)

    thread = threading.Thread(
        target=populate, args=(tmp_path / "m", build), kwargs={"volumes": volumes}
    )
    thread.start()
    building.wait(10)
    told: list[str] = []
    with pytest.raises(LeaseTimeout):
        populate(tmp_path / "m", _tree, timeout=6.0, volumes=volumes, report=told.append)
    done.set()
    thread.join()
    assert any("5.0 MB in 1 files so far" in line for line in told), told


def test_a_directory_that_nobody_published_is_refused(volumes: Volumes, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "half").write_text("x")
    with pytest.raises(PathInvalid, match="volumelease adopt"):
        populate(tmp_path / "m", _tree, volumes=volumes)


def test_a_link_that_leads_nowhere_is_built_anew(volumes: Volumes, tmp_path: Path) -> None:
    populate(tmp_path / "m", _tree, volumes=volumes)
    version = os.path.realpath(tmp_path / "m")
    os.rename(version, f"{version}.away")
    populate(tmp_path / "m", _tree, volumes=volumes)
    assert (tmp_path / "m" / "w").read_text() == "x"


def test_a_path_outside_every_volume_is_an_error_even_if_it_exists(volumes: Volumes) -> None:
    with pytest.raises(VolumeNotFound):
        populate("/etc/hostname", _tree, volumes=volumes)


def test_a_builder_that_holds_the_lease_already_builds(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "m", volumes=volumes):
        populate(tmp_path / "m", _tree, volumes=volumes)
    assert (tmp_path / "m" / "w").read_text() == "x"


def test_the_next_builder_goes_on_where_a_dead_one_left_off(tmp_path: Path) -> None:
    first = found(tmp_path)
    died = threading.Event()

    def build(draft: Path) -> None:
        _tree(draft)
        (session,) = first._sessions.values()
        session.session.pulse.lose("its process died")
        died.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        populate(tmp_path / "m", build, resume=True, volumes=first)
    second = found(tmp_path)
    seen: list[str] = []

    def go_on(draft: Path) -> None:
        seen.extend(path.name for path in draft.iterdir())
        (draft / "v").write_text("y")

    told: list[str] = []
    populate(tmp_path / "m", go_on, resume=True, volumes=second, report=told.append)
    assert seen == ["w"]
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["v", "w"]
    assert any("where a builder that died left off" in line for line in told)
    assert leftovers(tmp_path) == []
    second.close()
