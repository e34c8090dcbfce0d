"""Drafts that may not be published as they are, and processes that may not touch them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.leases.test_volume_lease import found
from volumelease import LeaseViolation, PublishFailed
from volumelease.leases.asking import volume_lease
from volumelease.leases.staging import OpenDraft
from volumelease.leases.volumes import Volumes


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = found(tmp_path)
    yield made
    made.close()


def test_a_relative_link_out_of_the_draft_is_refused(volumes: Volumes, tmp_path: Path) -> None:
    (tmp_path / "w").write_text("x")
    with volume_lease(tmp_path / "m", volumes=volumes) as lease:
        with pytest.raises(PublishFailed, match="leads out"), lease.stage() as draft:
            draft.mkdir()
            (draft / "link").symlink_to("../w")
        with lease.stage() as draft:
            draft.mkdir()
            (draft / "link").symlink_to(tmp_path / "w")
    assert (tmp_path / "m" / "link").read_text() == "x"


def test_a_directory_with_a_published_one_in_it_is_not_published(
    volumes: Volumes, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    with volume_lease(work, tmp_path / "m", volumes=volumes) as lease:
        with lease.stage(work / "model") as draft:
            draft.mkdir()
            (draft / "w").write_text("x")
        with pytest.raises(PublishFailed, match="published by itself"):
            lease.publish(work, tmp_path / "m")
        assert (work / "model" / "w").read_text() == "x"


def test_a_lease_that_was_downgraded_publishes_nothing_and_is_not_lost(
    volumes: Volumes, tmp_path: Path
) -> None:
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        with pytest.raises(LeaseViolation, match="is shared"), lease.stage() as draft:
            draft.write_text("x")
            lease.downgrade()
        lease.check()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("end", ["close", "discard", "__del__"])
def test_a_forked_child_writes_nothing_of_its_parents_buffer(
    volumes: Volumes, tmp_path: Path, end: str
) -> None:
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        file = lease.open(tmp_path / "a", "wb")
        assert isinstance(file, OpenDraft)
        file.write(b"hello")
        child = os.fork()
        if child == 0:
            try:
                getattr(file, end)()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        file.close()
    assert (tmp_path / "a").read_bytes() == b"hello"
