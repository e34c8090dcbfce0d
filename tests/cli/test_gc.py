"""``volumelease gc``, and the space that ``status`` shows."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from volumelease.cli import space
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes

from .conftest import picture_of
from .shell import Running, eventually, run

HOURS_AGO = 7200.0


def publish(volume: Path, *contents: str) -> None:
    volumes = Volumes(Surroundings.of_this_process())
    for content in contents:
        with volume_lease(volume / "m", volumes=volumes) as lease, lease.stage() as draft:
            draft.mkdir()
            (draft / "w").write_text(content)
    volumes.close()


def versions(volume: Path) -> Path:
    return volume / ".volumelease" / picture_of(volume).identity.id / "versions"


def gc(volume: Path, *options: str) -> dict[str, Any]:
    result = run("gc", volume, "--json", *options)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def states(found: dict[str, Any]) -> dict[str, int]:
    names = [item["state"] for item in found["items"]]
    return {name: names.count(name) for name in names}


def make_old(volume: Path) -> None:
    """As if what was replaced had been noticed two hours ago."""
    for mark in versions(volume).glob("*.replaced.*"):
        then = float(os.readlink(mark)) - HOURS_AGO
        mark.unlink()
        mark.symlink_to(repr(then))


def test_replaced_versions_go_when_their_readers_had_time(volume: Path) -> None:
    publish(volume, "1", "22", "333")
    assert states(gc(volume)) == {"public": 1, "read": 2}
    make_old(volume)
    dry = gc(volume, "--dry-run")
    assert (dry["dry_run"], states(dry)) == (True, {"public": 1, "due": 2})
    done = gc(volume)
    removed = [item for item in done["items"] if item["removed"]]
    assert sum(item["bytes"] for item in removed) == 3
    assert {item["place"] for item in removed} == {f"{volume}/m"}
    assert (volume / "m" / "w").read_text() == "333"
    assert states(gc(volume)) == {"public": 1}
    assert len([name for name in os.listdir(versions(volume)) if "." not in name]) == 1


def test_drafts_of_the_dead_go_and_those_of_the_living_stay(volume: Path, tmp_path: Path) -> None:
    script = f'mkdir "$VOLUMELEASE_DRAFT"; touch {tmp_path}/up; sleep 60'
    with Running("populate", volume / "m", "--", "sh", "-c", script, "sh", "{}") as builder:
        eventually((tmp_path / "up").exists)
        assert states(gc(volume)) == {"written": 1}
        os.kill(builder.child("lease-keeper"), signal.SIGKILL)
        builder.finish()
    run("hold", volume / "m", "--", "true")  # whoever comes next ends its session
    assert states(gc(volume)) == {"due": 1}
    assert gc(volume)["items"] == []


def test_a_draft_to_go_on_with_is_kept(volume: Path, tmp_path: Path) -> None:
    script = f'mkdir "$VOLUMELEASE_DRAFT"; touch {tmp_path}/up; sleep 60'
    words = ["--resume", "--", "sh", "-c", script, "sh", "{}"]
    with Running("populate", volume / "m", *words) as builder:
        eventually((tmp_path / "up").exists)
        builder.signal(signal.SIGTERM)
        builder.finish()
    assert states(gc(volume)) == {"resumable": 1}
    assert states(gc(volume)) == {"resumable": 1}


def test_versions_without_a_link_are_told_and_only_deleted_on_demand(volume: Path) -> None:
    publish(volume, "1")
    os.rename(volume / "m", volume / "moved")
    result = run("gc", volume)
    assert "without any link that is known" in result.stdout
    assert "--orphans" in result.stdout
    assert (volume / "moved" / "w").read_text() == "1"
    warned = run("gc", volume, "--orphans")
    assert "DANGEROUS" in warned.stderr
    assert "1 draft or version removed, 1 bytes" in warned.stdout
    assert not (volume / "moved").exists()


def test_what_is_public_is_no_orphan_even_on_demand(volume: Path) -> None:
    publish(volume, "1")
    assert states(gc(volume, "--orphans")) == {"public": 1}
    assert (volume / "m" / "w").read_text() == "1"


def test_the_status_shows_the_space_that_publishing_takes(volume: Path) -> None:
    assert "published" not in run("status", volume).stdout
    publish(volume, "1", "22")
    assert "published: 2 versions, 3 bytes; 0 drafts, 0 bytes" in run("status", volume).stdout
    found = json.loads(run("status", volume, "--json").stdout)["space"]
    assert found["versions"] == {"count": 2, "bytes": 3, "complete": True}
    assert found["drafts"] == {"count": 0, "bytes": 0, "complete": True}


def test_a_tree_that_takes_too_long_is_measured_in_part(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "w").write_text("x")
    use = space.use_of(str(tmp_path), until=0.0)
    assert (use.count, use.complete) == (1, False)
    assert use.words("version") == "1 version, at least 0 bytes"
