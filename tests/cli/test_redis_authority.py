"""The command line on a volume whose leases a Redis keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.bed.redis import RedisServer

from .shell import Running, error_of, eventually, run


@pytest.fixture
def redis(redis_server: RedisServer) -> dict[str, str]:
    """What the environment of a worker says."""
    return {"VOLUMELEASE_REDIS_URL": redis_server.url}


@pytest.fixture
def volume(redis: dict[str, str], tmp_path: Path) -> Path:
    root = tmp_path / "volume"
    root.mkdir()
    made = run("init", root, "--authority", "redis", "--ttl", "2", "--json", env=redis)
    assert made.returncode == 0, made.stderr
    document = json.loads(made.stdout)
    assert (document["authority"], document["grace_seconds"]) == ("redis", 0)
    return root


def status(volume: Path, env: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("status", "--json", volume, env=env).stdout)
    return found


def test_status_names_the_authority_and_its_limit(volume: Path, redis: dict[str, str]) -> None:
    with Running("hold", volume / "a", "--reason", "why", "--", "sleep", "60", env=redis):
        eventually(lambda: status(volume, redis)["leases"])
        with Running("hold", volume / "a/b", "--", "true", env=redis):
            eventually(lambda: status(volume, redis)["waiting"])
            found = status(volume, redis)
            shown = run("status", volume, env=redis).stdout
    assert (found["authority"], found["bell"]) == ("redis", "redis")
    assert found["leases"][0]["paths"] == [f"{volume}/a"]
    assert found["leases"][0]["reason"] == "why"
    assert found["waiting"][0]["position"] == 1
    assert "not sealed" in found["limit"]
    assert "leases by Redis" in shown
    assert "held exclusive a" in shown


def test_a_broken_lease_is_told_to_its_holder(volume: Path, redis: dict[str, str]) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60", env=redis) as holder:
        eventually(lambda: status(volume, redis)["leases"])
        token = status(volume, redis)["leases"][0]["token"]
        done = run(
            "break", volume / "a", "--token", token, "--reason", "stuck", "--json", env=redis
        )
        assert done.returncode == 0, done.stderr
        assert holder.process.wait(20) == 76
    document = json.loads(done.stdout)
    assert Path(document["audit"]).is_file()
    assert not status(volume, redis)["leases"]


def test_a_killed_holder_makes_way_at_once(volume: Path, redis: dict[str, str]) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60", env=redis) as holder:
        eventually(lambda: status(volume, redis)["leases"])
        holder.process.kill()
        done = run("hold", volume / "a", "--timeout", "20", "--", "echo", "mine", env=redis)
    assert done.stdout == "mine\n", done.stderr


@pytest.mark.parametrize("command", ["history", "verify", "gc"])
def test_what_needs_a_log_says_that_there_is_none(
    volume: Path, redis: dict[str, str], command: str
) -> None:
    result = run(command, volume, env=redis)
    assert result.returncode == 1
    assert "no log to read" in error_of(result)[0]


def test_a_real_directory_is_not_adopted_without_a_log(volume: Path, redis: dict[str, str]) -> None:
    (volume / "d").mkdir()
    (volume / "d/x").write_text("1")
    result = run("adopt", volume / "d", env=redis)
    assert result.returncode == 1
    assert "only a log can seal" in error_of(result)[0]
    assert (volume / "d/x").read_text() == "1"


def test_a_redis_that_is_away_is_named_without_its_password(
    volume: Path, redis: dict[str, str]
) -> None:
    away = {"VOLUMELEASE_REDIS_URL": "redis://:s3cret@127.0.0.1:1/0"}
    for arguments in (("status", volume), ("hold", volume / "a", "--", "true")):
        result = run(*arguments, env=away)
        assert result.returncode == 1
        assert "redis://" in error_of(result)[0]
        assert "s3cret" not in result.stderr


def test_init_keeps_to_the_authority_that_is_there(volume: Path, redis: dict[str, str]) -> None:
    assert run("init", volume, env=redis).returncode == 0
    other = run("init", volume, "--authority", "volume", env=redis)
    assert other.returncode == 1
    assert "takes its leases from 'redis'" in error_of(other)[0]
    assert run("init", volume, "--authority", "redis").returncode == 1


def test_leases_move_to_the_log_and_back(volume: Path, redis: dict[str, str]) -> None:
    with Running("hold", volume / "a", "--", "sleep", "60", env=redis):
        eventually(lambda: status(volume, redis)["leases"])
        words = ("migrate", volume, "--authority", "volume")
        late = run(*words, "--timeout", "0.2", env=redis)
        assert late.returncode == 75
        assert "exclusively" in error_of(late)[0]
    done = run(*words, "--json", env=redis)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["schema"], found["authority"], found["changed"]) == (1, "volume", True)
    assert "already" in run(*words, env=redis).stdout
    assert status(volume, {})["authority"] == "volume"
    refused = run("migrate", volume, "--authority", "redis")
    assert refused.returncode == 1
    assert "VOLUMELEASE_REDIS_URL" in error_of(refused)[0]
    back = run("migrate", volume, "--authority", "redis", env=redis)
    assert "after 3 s" in back.stdout
    assert run("hold", volume / "a", "--", "true", env=redis).returncode == 0
