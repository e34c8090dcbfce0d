"""``volumelease uninstall`` where nothing proves that nobody is there, and what it could lose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bed.redis import RedisServer

from .conftest import picture_of
from .shell import Running, environment, error_of, eventually, run


@pytest.fixture
def on_redis(redis_server: RedisServer, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    root, env = tmp_path / "by-redis", {"VOLUMELEASE_REDIS_URL": redis_server.url}
    root.mkdir()
    assert run("init", root, "--authority", "redis", "--ttl", "2", env=env).returncode == 0
    return root, env


def holds(root: Path, env: dict[str, str]) -> bool:
    return bool(json.loads(run("status", "--json", root, env=env).stdout)["leases"])


def test_a_volume_in_use_stays_where_a_redis_keeps_the_leases(
    on_redis: tuple[Path, dict[str, str]],
) -> None:
    root, env = on_redis
    with Running("hold", root / "a", "--", "sleep", "60", env=env):
        eventually(lambda: holds(root, env))
        refused = run("uninstall", root, "--yes", env=env)
        assert refused.returncode == 1
        assert "is in use" in refused.stderr
        assert holds(root, env)
    assert run("uninstall", root, "--yes", env=env).returncode == 0
    assert os.listdir(root) == []


def test_who_held_something_before_the_redis_forgot_is_waited_for(
    on_redis: tuple[Path, dict[str, str]], redis_server: RedisServer
) -> None:
    root, env = on_redis
    with Running("hold", root / "a", "--", "sleep", "60", env=env):
        eventually(lambda: holds(root, env))
        redis_server.flush()
        refused = run("uninstall", root, "--yes", env=env)
        assert refused.returncode == 1
        assert "is in use" in refused.stderr
    redis_server.flush()
    done = run("uninstall", root, "--yes", env=env)
    assert done.returncode == 0, done.stderr
    assert "before the Redis forgot" in done.stderr


def test_nothing_of_it_stays_in_the_redis(
    on_redis: tuple[Path, dict[str, str]], redis_server: RedisServer
) -> None:
    root, env = on_redis
    client = redis_server.client()
    client.set("volumelease", "somebody else's")
    client.hset("{volumelease:another}:state", "incarnation", "1")
    assert run("hold", root / "a", "--", "true", env=env).returncode == 0
    assert len(client.keys("*")) > 2
    assert run("uninstall", root, "--yes", env=env).returncode == 0
    assert sorted(client.keys("*")) == [b"volumelease", b"{volumelease:another}:state"]


def test_a_redis_that_does_not_take_it_away_is_noted(
    on_redis: tuple[Path, dict[str, str]], redis_server: RedisServer
) -> None:
    root, env = on_redis
    client = redis_server.client()
    client.config_set("min-replicas-to-write", 1)
    done = run("uninstall", root, "--yes", env=env)
    assert done.returncode == 0
    assert "what the Redis keeps of it is left" in done.stderr
    assert "min-replicas-to-write" in done.stderr
    assert not (root / ".volumelease").exists()


@contextmanager
def beating(file: Path) -> Iterator[None]:
    stop = threading.Event()

    def beat() -> None:
        for counter in range(1_000, 2_000):
            os.utime(file, (counter, counter))
            if stop.wait(0.3):
                return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_volume_without_its_log_is_made_anew_once_nobody_beats(volume: Path) -> None:
    """It is what `verify` says is to be done."""
    base = volume / ".volumelease" / picture_of(volume).identity.id
    shutil.rmtree(base / "log")
    advised = error_of(run("verify", volume))[-1]
    assert "volumelease uninstall" in advised
    heartbeat = base / "sessions" / ("0" * 16)
    heartbeat.touch()
    with beating(heartbeat):
        refused = run("uninstall", volume, "--yes")
        assert refused.returncode == 1
        assert "is in use" in refused.stderr
    assert base.is_dir()
    done = run("uninstall", volume, "--yes")
    assert done.returncode == 0, done.stderr
    assert run("init", volume).returncode == 0
    assert run("verify", volume).returncode == 0


# ---- what may be the only copy

DIES = """
import os, pathlib, sys
from volumelease import volume_lease
from volumelease.drivers.files import Files

perform = Files.perform

def dying(self, effect):
    if type(effect).__name__ == sys.argv[2]:
        perform(self, effect)
        os._exit(9)
    return perform(self, effect)

Files.perform = dying
volume = pathlib.Path(sys.argv[1])
with volume_lease(volume / "x") as lease:
    lease.publish(volume / "out", volume / "x")
"""


def publish_and_die(volume: Path, after: str) -> None:
    """A directory was moved in to be published when its only writer died."""
    (volume / "out").mkdir()
    (volume / "out" / "w").write_text("forty gigabytes")
    words = [sys.executable, "-c", DIES, str(volume), after]
    ended = subprocess.run(words, env=environment(), check=False, timeout=60, capture_output=True)
    assert ended.returncode == 9, ended.stderr
    assert not (volume / "out").exists()


def content_of(path: str | Path) -> str:
    (file,) = (file for file in Path(path).rglob("w") if file.is_file())
    return file.read_text()


def test_what_was_moved_in_and_never_published_is_not_uninstalled(volume: Path) -> None:
    publish_and_die(volume, "SyncTree")
    refused = run("uninstall", volume, "--yes")
    assert refused.returncode == 1
    assert "may be the only copy" in error_of(refused)[0]
    place = error_of(refused)[0].split()[0]
    assert content_of(place) == "forty gigabytes"
    os.rename(place, volume / "mine")
    assert run("uninstall", volume, "--yes").returncode == 0
    assert content_of(volume / "mine") == "forty gigabytes"


def test_what_was_moved_in_is_kept_and_shown_when_the_rest_is_cleared_away(volume: Path) -> None:
    publish_and_die(volume, "SyncTree")
    (dead,), kept = picture_of(volume).table.sessions, ""
    with Running("hold", volume / "elsewhere", "--", "sleep", "60"):  # it ends the dead session
        eventually(lambda: dead not in picture_of(volume).table.sessions)
        for options in (["--dry-run"], [], []):
            found = json.loads(run("gc", volume, "--json", *options).stdout)
            (item,) = (item for item in found["items"] if item["state"] == "kept")
            assert not item["removed"]
            assert content_of(item["path"]) == "forty gigabytes"
            kept = item["path"]
        shown = run("gc", volume).stdout
    assert "-source" in kept
    assert kept in shown
    assert "0 drafts or versions removed" in shown or "0 drafts and versions removed" in shown
    refused = run("uninstall", volume, "--yes")
    assert refused.returncode == 1
    assert content_of(kept) == "forty gigabytes"
