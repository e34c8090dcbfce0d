"""A real MooseFS master that loses power: what it acknowledged last is gone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.bed.moosefs import MooseFsBed, missing

from .fleet import fleet, make_volume

pytestmark = [pytest.mark.bed, pytest.mark.timeout(120)]

BEFORE, AFTER = "before".ljust(100, "."), "after".ljust(100, ".")


@pytest.fixture
def own_bed() -> Iterator[MooseFsBed]:
    """One of its own: its mounts are of no use to others afterwards."""
    if reason := missing():
        pytest.skip(f"no test bed here: {reason}")
    with MooseFsBed(hosts=2) as bed:
        yield bed


def test_a_mount_answers_a_target_of_another_time(own_bed: MooseFsBed) -> None:
    """Why lengths are compared: this is what the mount does."""
    here, there = (host.mount for host in own_bed.hosts)
    os.symlink(BEFORE, here / "link")
    assert os.readlink(there / "link") == BEFORE
    time.sleep(1.0)
    own_bed.kill_master()
    assert own_bed.forget_from(BEFORE[:8]) >= 1
    own_bed.start_master()
    assert not os.path.lexists(there / "link")
    os.symlink(AFTER, here / "link")
    assert os.readlink(here / "link") == AFTER
    assert os.readlink(there / "link") == BEFORE, "it is kept by the number of the inode"


def test_who_knew_what_a_master_forgot_loses_its_lease(own_bed: MooseFsBed) -> None:
    """The heir's entries get the inodes of the ghost's, so the ghost's mount shows the ghost's."""
    here, there = (host.mount for host in own_bed.hosts)
    make_volume(here, ttl=15)
    (sessions,) = (here / ".volumelease").glob("*/sessions")
    with fleet() as workers:
        workers.start("take", mount=here, path="warm").wait_for("granted")
        known = set(os.listdir(sessions))
        ghost = workers.start("take", mount=there, path="x")
        ghost.wait_for("granted")
        (name,) = set(os.listdir(sessions)) - known
        time.sleep(1.0)  # it is on the disk by now, and nothing else than what is cut is missing
        own_bed.kill_master()
        forgotten = own_bed.forget_from(name)
        own_bed.start_master()
        assert forgotten
        heir = workers.start("take", mount=here, path="x")
        heir.wait_for("granted")
        granted_at = time.monotonic()
        lost = ghost.wait_for("lost", 15)
        print(
            f"{forgotten} operations forgotten; lost {time.monotonic() - granted_at:.1f} s after "
            f"the heir's grant: {lost['why']}"
        )
        assert "entry" in lost["why"]
        late = workers.start("take", mount=there, path="x", timeout=8.0)
        assert late.process.wait(30) != 0
        assert "mount the volume anew" in "".join(late.errors)
        assert not heir.has_said("lost")
