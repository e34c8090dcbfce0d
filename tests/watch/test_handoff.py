"""What a holder left is compared by the next one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from volumelease.authorities.volume.layout import Layout
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate
from volumelease.watch.handoff import Handoff
from volumelease.watch.violations import Violation, recorded


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    handoff = Handoff(("models",), "here", sleep=lambda _: None)
    volumes = Volumes(Surroundings.of_this_process()._replace(handoff=handoff))
    volumes.found(locate(tmp_path, explicit=str(tmp_path)), ready=True, ttl=6.0)
    (tmp_path / "models").mkdir()
    yield volumes
    volumes.close()


def told(tmp_path: Path, volumes: Volumes) -> list[Violation]:
    layout = volumes.log_of(locate(tmp_path, explicit=str(tmp_path)))
    assert isinstance(layout, Layout)
    return recorded(layout)


def fill(place: Path, volumes: Volumes) -> None:
    with volume_lease(place, volumes=volumes):
        (place / "deep").mkdir(parents=True, exist_ok=True)
        for name in ("a", "b", "deep/c"):
            (place / name).write_bytes(b"x" * 100)
            os.utime(place / name, (1_700_000_000, 1_700_000_000))


WAYS = ("create", "append", "delete", "replace", "rewrite")


def test_a_write_while_nobody_had_the_lease_is_told_by_the_next_holder(
    tmp_path: Path, volumes: Volumes
) -> None:
    for what in WAYS:
        fill(tmp_path / "models" / what, volumes)
    tokens = {}
    for what in WAYS:
        place = tmp_path / "models" / what
        change(place, what)
        with volume_lease(place, volumes=volumes) as lease:
            tokens[f"models/{what}"] = lease.token
    found = told(tmp_path, volumes)
    assert {one.path for one in found} == set(tokens)
    assert {(one.origin, one.scope) for one in found} == {("unknown", "models")}
    assert all(one.what.endswith(f"and {tokens[one.path]}") for one in found)
    for what in WAYS:
        with volume_lease(tmp_path / "models" / what, volumes=volumes):
            pass
    assert told(tmp_path, volumes) == found, "told once"


def change(place: Path, what: str) -> None:
    match what:
        case "create":
            (place / "deep" / "new").touch()
        case "append":
            with open(place / "a", "ab") as file:
                file.write(b"more")
        case "delete":
            (place / "deep" / "c").unlink()
        case "replace":
            (place / "b.tmp").write_bytes(b"y" * 100)
            os.replace(place / "b.tmp", place / "b")
        case "rewrite":
            (place / "a").write_bytes(b"y" * 100)
            os.utime(place / "a", (1_800_000_000, 1_800_000_000))


def test_what_was_written_under_leases_is_nothing_to_tell(tmp_path: Path, volumes: Volumes) -> None:
    place = tmp_path / "models" / "a"
    fill(place, volumes)
    fill(place, volumes)
    with volume_lease(tmp_path / "models", volumes=volumes):  # from above
        (place / "a").write_bytes(b"longer than before" * 9)
    with volume_lease(place, volumes=volumes):
        pass
    with volume_lease(place / "deep", volumes=volumes):  # and from below
        (place / "deep" / "c").unlink()
    with volume_lease(place, volumes=volumes):
        pass
    with volume_lease(place, shared=True, volumes=volumes):
        pass
    with volume_lease(tmp_path / "models" / "version", volumes=volumes) as lease:
        with lease.stage() as draft:
            draft.mkdir()
        with lease.stage() as draft:
            draft.mkdir()
    with volume_lease(tmp_path / "models" / "version", volumes=volumes):
        pass
    (tmp_path / "elsewhere").mkdir()
    with volume_lease(tmp_path / "elsewhere", volumes=volumes):
        pass
    assert not told(tmp_path, volumes)


def test_a_holder_that_died_left_nothing_to_compare_with(tmp_path: Path, volumes: Volumes) -> None:
    place = tmp_path / "models" / "a"
    fill(place, volumes)
    other = Volumes(Surroundings.of_this_process())  # without manifests, as if it had died
    with volume_lease(place, volumes=other):
        (place / "a").unlink()
    other.close()
    with volume_lease(place, volumes=volumes):
        pass
    assert not told(tmp_path, volumes)


def test_a_tree_that_is_too_big_is_left_out(tmp_path: Path, volumes: Volumes) -> None:
    place = tmp_path / "models" / "big"
    with volume_lease(place, volumes=volumes):
        place.mkdir()
        for number in range(5001):
            (place / f"{number}").touch()
    (place / "1").unlink()
    began = time.monotonic()
    with volume_lease(place, volumes=volumes):
        pass
    assert time.monotonic() - began < 10
    assert not told(tmp_path, volumes)
