"""A daemon whose sessions a Redis keeps: it can't be gone on with, and nobody is too early."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bed.redis import RedisServer
from tests.cli.shell import run as volumelease
from volumelease import volume_lease
from volumelease.daemon.page import Page
from volumelease.leases.volumes import Volumes

from .inside import surroundings
from .outside import Scene


@pytest.fixture
def scene(redis_server: RedisServer, tmp_path: Path) -> Iterator[Scene]:
    root = tmp_path / "volume"
    root.mkdir()
    environment = {"VOLUMELEASE_REDIS_URL": redis_server.url}
    made = volumelease("init", root, "--authority", "redis", "--ttl", "6", env=environment)
    assert made.returncode == 0, made.stderr
    with Scene(tmp_path, ttl=6.0, root=root) as scene:
        scene.environment |= environment
        yield scene


def test_after_a_restart_leases_are_lost_and_free_after_the_old_deadline(scene: Scene) -> None:
    around = surroundings(scene.root, scene.ttl)
    url = scene.environment["VOLUMELEASE_REDIS_URL"]
    outside = Volumes(around._replace(settings=around.settings._replace(redis_url=url)))
    granted: list[float] = []

    def wait() -> None:
        with volume_lease(scene.root / "a", volumes=outside):
            granted.append(time.clock_gettime(time.CLOCK_BOOTTIME))

    daemon = scene.start()
    holder = scene.client("hold")
    holder.wait_for("token")
    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(1.0)  # it watches the session of the daemon by now
    daemon.kill()
    daemon.wait()
    deadline = Page(f"{scene.socket}.page").deadline(0)
    scene.start()
    assert holder.wait_for("told", 60)
    waiter.join(60)
    assert granted
    assert granted[0] > deadline
    holder.tell_to_go_on()
    assert holder.wait_for("lost")["lost"]
    outside.close()
