"""The leases of a volume move from its log to a Redis and back; whatever happens, one of both has
them, and its tokens are larger."""

from __future__ import annotations

import errno
import signal
import time
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.bed.moosefs import MooseFsBed
from tests.bed.redis import RedisServer
from tests.bed.redis_proxy import RedisProxy
from volumelease.authorities.volume import founding
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.effects import Effect, ReadFile, ReadLink
from volumelease.errors import (
    AuthorityMoved,
    LeaseLost,
    LeaseTimeout,
    SettingsMismatch,
    VolumeUnsuitable,
)
from volumelease.leases import choosing
from volumelease.leases.asking import volume_lease
from volumelease.leases.migrating import migrate
from volumelease.leases.volumes import Volumes
from volumelease.model import Acquire, Claim, Waiting
from volumelease.paths.locate import locate
from volumelease.wire.identity import Identity

from .fleet import Fleet, Worker, fleet
from .jobs import with_redis
from .migrating_jobs import MODULE

Authority = Literal["volume", "redis"]

WAYS: tuple[tuple[Authority, Authority], ...] = (("volume", "redis"), ("redis", "volume"))
ONE_WAY_QUICKLY = (WAYS[0], pytest.param(*WAYS[1], marks=pytest.mark.torture))
STEPS = (
    ("redis", "end the log", False),
    ("redis", "end the log", True),
    ("redis", "begin the era", True),
    ("volume", "end the table", False),
    ("volume", "end the table", True),
    pytest.param("volume", "begin the era", True, marks=pytest.mark.torture),
)
TTL = 2.0


def other(authority: Authority) -> Authority:
    return "redis" if authority == "volume" else "volume"


class Ground:
    """A volume with one authority, and the Redis that it has or may have."""

    def __init__(self, root: Path, redis: str, authority: Authority, ttl: float = TTL) -> None:
        self.root = root
        self.redis = redis
        self.where = locate(root, explicit=str(root))
        self._hosted: list[Volumes] = []
        self.worker().found(self.where, ready=True, ttl=ttl, authority=authority)

    def worker(self, redis: str | None = None) -> Volumes:
        self._hosted.append(with_redis(redis or self.redis))
        return self._hosted[-1]

    def close(self) -> None:
        for one in self._hosted:
            one.close()

    def identity(self) -> Identity:
        found = Monitor(Files()).run(founding.read_identity(str(self.root)))
        assert found is not None
        return found

    def migrate(self, target: Authority, timeout: float = 20.0) -> Identity:
        mine = self.worker()
        try:
            return migrate(self.where, target, mine, timeout)[0]
        finally:
            mine.close()

    def token(self, timeout: float = 20.0) -> int:
        """Of a lease on the whole volume, which is let go at once."""
        with volume_lease(self.root, timeout=timeout, volumes=self.worker()) as lease:
            return lease.token

    def migrator(self, workers: Fleet, target: Authority, **accident: Any) -> Worker:
        facts = {"root": self.root, "target": target, "redis": self.redis, **accident}
        return workers.start("migrate", module=MODULE, **facts)


@pytest.fixture(params=[pytest.param("local", marks=pytest.mark.torture), "moosefs"])
def somewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return _root(request, tmp_path)


@pytest.fixture(params=["local", pytest.param("moosefs", marks=pytest.mark.torture)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return _root(request, tmp_path)


def _root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "local":
        return tmp_path
    mounts: list[Path] = request.getfixturevalue("shared_mounts")
    return mounts[0]


def test_tokens_grow_there_and_back_and_there_again(
    somewhere: Path, redis_server: RedisServer
) -> None:
    ground = Ground(somewhere, redis_server.url, "volume")
    tokens = [ground.token()]
    targets: tuple[Authority, ...] = ("redis", "volume")
    for target in targets:
        assert ground.migrate(target).authority == target
        tokens.append(ground.token())
        tokens.append(ground.token())
    assert tokens == sorted(set(tokens))
    assert [path.name for path in sorted((somewhere / ".volumelease").glob("identity*"))] == [
        "identity",
        "identity.1",
        "identity.2",
    ]
    ground.close()


def evicting(server: RedisServer) -> None:
    server.client().config_set("maxmemory", 100_000_000)
    server.client().config_set("maxmemory-policy", "allkeys-lru")


def test_a_redis_that_throws_keys_away_is_refused_before_the_log_ends(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    ground = Ground(tmp_path, redis_server.url, "volume")
    evicting(redis_server)
    before = ground.token()
    with pytest.raises(VolumeUnsuitable, match="allkeys-lru"):
        ground.migrate("redis")
    assert ground.identity().authority == "volume"
    assert ground.token() > before
    ground.close()


def test_no_volume_is_made_on_a_redis_that_throws_keys_away(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    evicting(redis_server)
    with pytest.raises(VolumeUnsuitable, match="allkeys-lru"):
        Ground(tmp_path, redis_server.url, "redis")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("before", "after"), ONE_WAY_QUICKLY)
def test_what_was_published_stays_where_it_is(
    tmp_path: Path, redis_server: RedisServer, before: Authority, after: Authority
) -> None:
    ground = Ground(tmp_path, redis_server.url, before)
    with (
        volume_lease(tmp_path / "model", volumes=ground.worker()) as lease,
        lease.stage() as draft,
    ):
        draft.mkdir()
        (draft / "part").write_text("first")
    ground.migrate(after)
    assert (tmp_path / "model" / "part").read_text() == "first"
    with (
        volume_lease(tmp_path / "model", volumes=ground.worker()) as lease,
        lease.stage() as draft,
    ):
        draft.mkdir()
        (draft / "part").write_text("second")
    assert (tmp_path / "model" / "part").read_text() == "second"
    ground.close()


@pytest.mark.parametrize(("before", "after"), WAYS)
def test_it_waits_for_holders_and_takes_the_waiters_along(
    tmp_path: Path, redis_server: RedisServer, before: Authority, after: Authority
) -> None:
    """Who waits when the leases move waits on, in the queue of the new authority."""
    ground = Ground(tmp_path, redis_server.url, before)
    with fleet() as workers:
        with volume_lease(tmp_path / "a", volumes=ground.worker()) as held:
            with pytest.raises(LeaseTimeout, match="exclusively"):
                ground.migrate(after, timeout=0.3)
            migrator = ground.migrator(workers, after)
            _wait_until(lambda: _waiters(ground) == 1)
            late = workers.start("take_with_redis", module=MODULE, **_facts(ground, "a"))
            _wait_until(lambda: _waiters(ground) == 2)
            assert not migrator.has_said("done")
            held.check()
        assert migrator.wait_for("done")["done"] == after
        assert late.wait_for("granted")["token"] > held.token
    ground.close()


def _facts(ground: Ground, path: str) -> dict[str, Any]:
    return {"root": str(ground.root), "path": path, "redis": ground.redis}


def _waiters(ground: Ground) -> int:
    from volumelease.cli.reading import Reader
    from volumelease.leases.redis_hosting import kept_on

    identity = ground.identity()
    if identity.authority == "redis":
        settings = ground.worker().surroundings.settings
        table = kept_on(identity.id, str(ground.root), settings).table
    else:
        table = Reader(str(ground.root)).look().table
    return sum(not holding.granted for holding in table.holdings.values())


def _wait_until(holds: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


# ---- accidents


@pytest.mark.parametrize(("target", "at", "after"), STEPS)
def test_a_migrator_killed_at_a_step_that_decides_is_finished_by_the_next(
    root: Path, redis_server: RedisServer, target: Authority, at: str, after: bool
) -> None:
    ground = Ground(root, redis_server.url, other(target))
    first = ground.token()
    with fleet() as workers:
        dying = ground.migrator(workers, target, at=at, after=after)
        assert dying.process.wait(30) == -signal.SIGKILL
        if at != "begin the era":
            assert ground.identity().authority == other(target)
        assert ground.migrate(target).authority == target
    if after:
        assert ground.token() > first
    ground.close()


@pytest.mark.parametrize("target", ["redis", pytest.param("volume", marks=pytest.mark.torture)])
def test_between_the_end_and_the_beginning_nobody_gets_anything(
    tmp_path: Path, redis_server: RedisServer, target: Authority
) -> None:
    ground = Ground(tmp_path, redis_server.url, other(target))
    idle = ground.worker()
    with volume_lease(tmp_path / "a", volumes=idle) as lease:
        first = lease.token
    step = "end the log" if target == "redis" else "end the table"
    with fleet() as workers:
        dying = ground.migrator(workers, target, at=step, after=True)
        assert dying.process.wait(30) == -signal.SIGKILL
    with (
        pytest.raises(AuthorityMoved, match="migrate"),
        volume_lease(tmp_path / "a", volumes=idle),
    ):
        pass
    ground.migrate(target)
    with volume_lease(tmp_path / "a", timeout=20.0, volumes=idle) as lease:
        assert lease.token > first
    ground.close()


@pytest.mark.parametrize("target", ["redis", "volume"])
def test_of_three_migrators_at_once_each_comes_to_the_same_end(
    tmp_path: Path, redis_server: RedisServer, target: Authority
) -> None:
    ground = Ground(tmp_path, redis_server.url, other(target))
    with fleet() as workers:
        several = [ground.migrator(workers, target) for _ in range(3)]
        done = [one.wait_for("done", 60) for one in several]
    assert {(one["done"], one["era"]) for one in done} == {(target, 1)}
    assert ground.identity().era == 1
    ground.close()


@pytest.mark.parametrize(("target", "at", "after"), STEPS)
@pytest.mark.torture
def test_a_migrator_that_stood_still_while_the_leases_moved_there_and_back_changes_nothing(
    root: Path, redis_server: RedisServer, target: Authority, at: str, after: bool
) -> None:
    _stand_still(root, redis_server, target, at, after=after)


def test_a_migrator_that_stood_still_before_the_beginning_changes_nothing(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    _stand_still(tmp_path, redis_server, "redis", "begin the era", after=False)


def _stand_still(
    root: Path, redis_server: RedisServer, target: Authority, at: str, *, after: bool
) -> None:
    ground = Ground(root, redis_server.url, other(target))
    first = ground.token()
    with fleet() as workers:
        stopped = ground.migrator(workers, target, at=at, after=after, number=signal.SIGSTOP)
        stopped.wait_for("accident")
        _wait_until(stopped.stopped)
        ground.migrate(target)
        assert ground.token() > first
        ground.migrate(other(target))
        era = ground.identity()
        with volume_lease(root / "a", timeout=20.0, volumes=ground.worker()) as held:
            stopped.signal(signal.SIGCONT)
            time.sleep(TTL)
            held.check()  # it did not end under its holder
            assert ground.identity() == era
    ground.close()


@pytest.mark.parametrize(("before", "after"), WAYS)
@pytest.mark.torture
@pytest.mark.timeout(900)
def test_a_migrator_killed_at_any_call_is_finished_by_the_next(
    tmp_path: Path, redis_server: RedisServer, before: Authority, after: Authority
) -> None:
    at, calls = 0, 1
    while at < calls:
        at += 1
        root = tmp_path / str(at)
        root.mkdir()
        ground = Ground(root, redis_server.url, before)
        first = ground.token()
        with fleet() as workers:
            dying = ground.migrator(workers, after, at=at, after=at % 2 == 0)
            if dying.process.wait(30) == 0:
                break
            ground.migrate(after)
        calls = at + 1
        assert ground.identity().authority == after
        if at % 5 == 0:
            assert ground.token() > first
        ground.close()
    assert at > 20


# ---- those who can't be told


def test_a_holder_that_was_cut_off_from_its_redis_has_lost_before_the_log_grants(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with RedisProxy(redis_server.address) as proxy:
        ground = Ground(tmp_path, redis_server.url, "redis")
        door = proxy.doors[0]
        with (
            pytest.raises(LeaseLost),
            volume_lease(tmp_path / "a", volumes=ground.worker(door.url)) as cut,
        ):
            door.cut()
            ground.migrate("volume")
            with volume_lease(tmp_path / "a", timeout=20.0, volumes=ground.worker()) as lease:
                assert cut.lost
                assert lease.token > cut.token
        ground.close()


class Mute:
    """A mount that has stopped to answer who asks it for the identity."""

    def __init__(self) -> None:
        self.mute = False
        self._files = Files()

    def perform(self, effect: Effect) -> Any:
        if self.mute and isinstance(effect, ReadLink | ReadFile):
            raise OSError(errno.EIO, "no answer")
        return self._files.perform(effect)


def test_a_redis_that_forgot_its_end_grants_nothing(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """Not even to a worker that read the identity before the leases moved, and can't see the
    volume any more: nobody who can says that the grace is over."""
    ground = Ground(tmp_path, redis_server.url, "redis")
    mount = Mute()
    late = Volumes(ground.worker().surroundings._replace(performer=mount))
    hosted = choosing.host(ground.where, ground.identity(), late.facts(), late.surroundings)
    ground.migrate("volume")
    redis_server.flush()
    mount.mute = True
    hosted.open()
    asked = hosted.ask(Acquire((Claim("a", "a"),), exclusive=True, owner="late"))
    assert isinstance(asked, Waiting)
    time.sleep(2.5 * TTL)
    assert hosted.alive()
    assert hosted.still_waits(asked.token)
    mount.mute = False
    _wait_until(lambda: hosted.over)
    assert "another identity" in hosted.loss_of(asked.token)
    ground.close()


@pytest.mark.bed
def test_a_holder_that_was_cut_off_from_the_log_publishes_nothing_after_it_moved(
    bed: MooseFsBed, shared_mounts: list[Path], redis_server: RedisServer
) -> None:
    here, there = shared_mounts
    ground = Ground(here, redis_server.url, "volume", ttl=3.0)
    with fleet() as workers:
        facts = {"root": str(there), "path": "a", "redis": redis_server.url}
        cut = workers.start("publish_late", module=MODULE, **facts)
        cut.wait_for("granted")
        bed.hosts[1].cut()
        ground.migrate("redis")
        with (
            volume_lease(here / "a", timeout=20.0, volumes=ground.worker()) as lease,
            lease.stage() as draft,
        ):
            draft.write_text("of the Redis's holder")
        bed.heal()
        cut.tell_to_go_on()
        assert cut.wait_for("failed", 90)["failed"] == "LeaseLost"
    assert (here / "a").read_text() == "of the Redis's holder"
    ground.close()


def test_workers_without_an_address_are_told_what_to_set(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    ground = Ground(tmp_path, redis_server.url, "volume")
    ground.migrate("redis")
    without = with_redis(None)
    with (
        pytest.raises(SettingsMismatch, match="VOLUMELEASE_REDIS_URL"),
        volume_lease(tmp_path / "a", volumes=without),
    ):
        pass
    ground.close()
