"""``volumelease doctor``: proves, on this machine and mount, what works."""

from __future__ import annotations

import json
from pathlib import Path

from volumelease.authorities.volume.layout import FIRST_SEGMENT

from .conftest import picture_of
from .shell import Running, error_of, eventually, run


def test_a_good_volume_passes_and_is_left_as_it_was(volume: Path) -> None:
    files = sorted(volume.rglob("*"))
    result = run("doctor", volume)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    # Not every kernel that tests run on has Landlock.
    outcomes = [line.split()[0] for line in lines if " landlock: " not in line]
    assert outcomes[:-1] == ["ok"] * (len(outcomes) - 1)
    assert result.stdout.splitlines()[-1].startswith("limit: not proven from one host")
    assert sorted(volume.rglob("*")) == files


def test_json_has_a_check_for_everything_that_leases_need(volume: Path) -> None:
    result = run("doctor", "--json", volume)
    found = json.loads(result.stdout)
    assert found["schema"] == 1
    checks = {check["name"]: check for check in found["checks"]}
    assert list(checks) == [
        "mount",
        "identity",
        "log",
        "write",
        "entries",
        "segments",
        "heartbeat",
        "cost",
        "locks",
        "skew",
        "space",
        "guard",
        "landlock",
        "clocks",
        "death",
        "descendants",
        "detection",
    ]
    assert all(set(c) == {"name", "outcome", "detail", "advice"} for c in found["checks"])
    assert picture_of(volume).identity.id in checks["identity"]["detail"]


def test_a_directory_that_is_no_volume_yet_can_be_examined(tmp_path: Path) -> None:
    result = run("doctor", tmp_path)
    assert result.returncode == 0
    assert "warn  identity" in result.stdout
    assert f"volumelease init {tmp_path}" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_work_ends_with_1_and_says_what_to_do(volume: Path) -> None:
    result = run("doctor", "/proc")
    assert result.returncode == 1
    assert "fail  write" in result.stdout
    assert "try: " in result.stdout
    result = run("doctor", volume, env={"VOLUMELEASE_TTL": "44"})
    assert result.returncode == 1
    assert "fail  identity" in result.stdout
    assert "44" in result.stdout


def test_garbage_in_the_log_is_a_warning(volume: Path) -> None:
    identity = picture_of(volume).identity
    (volume / ".volumelease" / identity.id / "log" / FIRST_SEGMENT / "0").symlink_to("no record")
    result = run("doctor", volume)
    assert result.returncode == 0
    assert "warn  log" in result.stdout


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    result = run("doctor", tmp_path / "missing")
    assert result.returncode == 1
    error_of(result)


def test_a_volume_in_use_is_not_disturbed(volume: Path) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60"):
        eventually(lambda: picture_of(volume).holders())
        before = picture_of(volume).next_index
        assert run("doctor", volume).returncode == 0
        assert picture_of(volume).next_index == before
