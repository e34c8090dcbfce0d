"""The history of leases, read from a real Redis that grants them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis")

from tests.bed.redis import RedisServer, eventually
from volumelease.authorities.redis.calling import state_key
from volumelease.authorities.redis.past import Looking
from volumelease.clock import SystemClock
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.errors import LeaseError, LeaseLost
from volumelease.host import this_process
from volumelease.leases.asking import volume_lease
from volumelease.leases.redis_hosting import scripts_on
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate
from volumelease.settings import Settings
from volumelease.watch.histories import TableHistory

CLOCK = SystemClock()
TTL = 3.0


class Ground:
    """A volume whose leases a Redis keeps, a worker on it, and two that read its history."""

    def __init__(self, root: Path, server: RedisServer) -> None:
        self.root, self.server = root, server
        self.settings = Settings(redis_url=server.url, authority="redis")
        self.volumes = self.worker()
        self.identity = self.volumes.found(locate(root, explicit=str(root)), ready=True, ttl=TTL)
        self.scripts = scripts_on(self.settings, str(root), Files())
        self.histories = [
            TableHistory(self.identity.id, Monitor(self.scripts), CLOCK) for _ in range(2)
        ]
        self.read()

    def worker(self) -> Volumes:
        return Volumes(Surroundings.of_this_process()._replace(settings=self.settings))

    def lease(self, path: str, **more: Any) -> Any:
        return volume_lease(self.root / path, volumes=self.volumes, **more)

    def read(self) -> None:
        for history in self.histories:
            history.read()

    def covered(self, path: str, since: float, until: float, boot_id: str = "") -> bool:
        found = {h.spans.covered(path, since, until, boot_id) for h in self.histories}
        assert len(found) == 1, "all who read come to one verdict"
        return found.pop()


@pytest.fixture
def ground(tmp_path: Path, redis_server: RedisServer) -> Iterator[Ground]:
    ground = Ground(tmp_path, redis_server)
    yield ground
    ground.volumes.close()
    ground.scripts.close()


def now() -> float:
    return CLOCK.monotonic()


def test_a_lease_covers_what_lies_below_it_while_it_is_held(ground: Ground) -> None:
    before = now()
    time.sleep(0.01)
    ground.read()
    with ground.lease("models/a"):
        ground.read()
        assert ground.covered("models/a/file", now(), now())
        assert not ground.covered("models/b", now(), now())
        assert not ground.covered("models/a", before, before), "it had not begun"
    ground.read()
    after = now()
    assert not ground.covered("models/a", after, after)


def test_a_lease_that_came_and_went_between_two_readings_is_known(ground: Ground) -> None:
    first = now()
    for number in range(50):
        with ground.lease(f"models/{number}"):
            pass
    with ground.lease("models/x/y"):
        pass
    last = now()
    ground.read()
    for number in range(50):
        assert ground.covered(f"models/{number}/file", first, last)
    assert ground.covered("models/x/y/z", first, last)
    assert not ground.covered("models/50", first, last)
    ground.read()
    ground.read()
    assert not ground.covered("models/1", now(), now())


def test_several_paths_of_one_lease_and_one_that_another_waits_for(ground: Ground) -> None:
    first = now()
    with volume_lease(ground.root / "a", ground.root / "b", volumes=ground.volumes):
        pass
    ground.read()
    assert ground.covered("a/file", first, now())
    assert ground.covered("b/file", first, now())


def test_a_shared_lease_covers_no_write_and_one_that_is_downgraded_only_before(
    ground: Ground,
) -> None:
    first = now()
    with ground.lease("models/shared", shared=True):
        ground.read()
    with ground.lease("models/both") as lease:
        lease.downgrade()
        ground.read()
        assert ground.covered("models/both", first, now())
        ground.read()
        time.sleep(0.01)
        assert not ground.covered("models/both", now(), now())
    ground.read()
    assert not ground.covered("models/shared", first, now())


def test_a_lease_of_a_session_that_is_ended_is_over(ground: Ground) -> None:
    other = ground.worker()
    with (
        pytest.raises(LeaseLost, match="closed"),
        volume_lease(ground.root / "models", volumes=other),
    ):
        ground.read()
        assert ground.covered("models/a", now(), now())
        other.close()
    first = now()
    ground.read()
    time.sleep(0.01)
    assert not ground.covered("models/a", now(), now())
    assert ground.covered("models/a", first - 0.001, now()), "until it was seen to be over"


def test_a_local_write_needs_a_lease_of_this_machine(ground: Ground) -> None:
    with ground.lease("models"):
        ground.read()
        assert ground.covered("models/a", now(), now(), this_process().boot_id)
        assert not ground.covered("models/a", now(), now(), "another boot")


def test_nothing_is_known_of_a_time_in_which_the_redis_forgot(ground: Ground) -> None:
    with ground.lease("models/a"):
        ground.read()
        first = now()
        ground.server.flush()
        time.sleep(0.05)
        ground.read()
        assert ground.covered("models/b", first, now())

        def granted_again() -> bool:
            with volume_lease(ground.root / "models/c", volumes=ground.volumes, timeout=0):
                return True

        def quietly() -> bool:
            try:
                return granted_again()
            except (LeaseError, TimeoutError):
                ground.read()
                return False

        eventually(quietly, 20)
        ground.read()
        assert ground.covered("models/b", first, now() - 0.01), "its grace too"
        ground.read()
        time.sleep(0.01)
        ground.read()
        assert not ground.covered("models/b", now(), now())


def test_ends_are_kept_only_while_somebody_asks(ground: Ground) -> None:
    client = ground.server.client()
    with ground.lease("models"):
        pass
    (key,) = [key for key in client.keys("*") if key.endswith(b":past")]
    assert 0 < client.ttl(key) <= 60
    assert client.zcard(key) == 2, "the mark of who reads, and one end"
    first = now()
    client.delete(key)  # as after a minute
    with ground.lease("models/b"):
        pass
    assert not client.exists(key)
    ground.read()
    assert ground.covered("models/c", first, now()), "ends were missed"
    assert client.exists(key)


def test_ends_beyond_what_is_kept_leave_nobody_in_the_belief_to_know_all(ground: Ground) -> None:
    client = ground.server.client()
    with ground.lease("models"):
        pass
    ground.read()
    (key,) = [key for key in client.keys("*") if key.endswith(b":past")]
    sequence = int(client.hget(state_key(ground.identity.id), "sequence"))
    incarnation = int(client.hget(state_key(ground.identity.id), "incarnation"))
    members = {
        f"{incarnation:010d}-{sequence + n:010d}\0{os.urandom(4).hex()}\0models/{n}": sequence + n
        for n in range(1, 25_001)
    }
    client.zadd(key, members)
    client.hset(state_key(ground.identity.id), "sequence", sequence + 25_000)
    looking, run = Looking(ground.identity.id), Monitor(ground.scripts).run
    assert not run(looking.look()).whole, "it looks for the first time"
    assert client.zcard(key) == 20_000
    assert run(looking.look()).whole
    first = now()
    ground.read()
    assert ground.covered("elsewhere", first - 0.001, now()), "some ends were thrown away"
