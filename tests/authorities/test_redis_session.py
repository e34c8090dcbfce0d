"""Leases whose authority is a Redis, from the user's side, with real servers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.bed.redis import RedisServer, missing_redis
from volumelease.effects import CallScript
from volumelease.errors import (
    AuthorityUnreachable,
    AuthorityUnsuitable,
    LeaseLost,
    LeaseTimeout,
    SettingsMismatch,
    VolumeUnsuitable,
)
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate

TTL = 2.0
Join = Callable[..., Volumes]


@pytest.fixture
def join(redis_server: RedisServer, tmp_path: Path) -> Iterator[Join]:
    """Makes one more worker of one volume; the first makes the volume."""
    members: list[Volumes] = []
    base = Surroundings.of_this_process()

    def join(url: str = redis_server.url, **changes: Any) -> Volumes:
        settings = base.settings._replace(redis_url=url, **changes)
        one = Volumes(base._replace(settings=settings, report=lambda text: None))
        if not members:
            root = locate(str(tmp_path), explicit=str(tmp_path))
            found = one.found(root, ready=True, ttl=TTL, authority="redis")
            assert found.authority == "redis"
        members.append(one)
        return one

    yield join
    for member in members:
        member.close()


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def waits(volumes: Volumes) -> bool:
    return bool(volumes._sessions) and hosted_of(volumes).session.waits


def hosted_of(volumes: Volumes) -> Any:
    (one,) = volumes._sessions.values()
    return one


def test_the_identity_is_a_file_and_workers_must_agree(join: Join, tmp_path: Path) -> None:
    join()
    identity = tmp_path / ".volumelease/identity"
    assert identity.is_file()
    assert not identity.is_symlink()
    with pytest.raises(SettingsMismatch, match="VOLUMELEASE_AUTHORITY"):
        volume_lease(tmp_path / "a", volumes=join(authority="volume")).__enter__()
    with pytest.raises(SettingsMismatch, match="VOLUMELEASE_REDIS_URL"):
        volume_lease(tmp_path / "a", volumes=join(None)).__enter__()
    with pytest.raises(SettingsMismatch, match="VOLUMELEASE_TTL"):
        volume_lease(tmp_path / "a", volumes=join(ttl=9.0)).__enter__()


def test_a_holder_keeps_its_lease_over_a_restart_with_nothing(
    join: Join, redis_server: RedisServer, tmp_path: Path
) -> None:
    one, other = join(), join()
    with volume_lease(tmp_path / "a", volumes=one) as lease:
        before = lease.token
        incarnation = hosted_of(one).session.calls.incarnation
        redis_server.kill()
        redis_server.start()
        assert eventually(lambda: hosted_of(one).session.calls.incarnation > incarnation)
        with pytest.raises(LeaseTimeout), volume_lease(tmp_path / "a", timeout=0, volumes=other):
            pass
        with volume_lease(tmp_path / "b", timeout=4 * TTL, volumes=other) as later:
            assert later.token > before
        lease.check()
        assert lease.token == before
        with pytest.raises(LeaseTimeout), volume_lease(tmp_path / "a", timeout=0.1, volumes=other):
            pass
    with volume_lease(tmp_path / "a", timeout=1, volumes=other):
        pass


def test_a_waiter_keeps_its_place_over_a_restart_with_nothing(
    join: Join, redis_server: RedisServer, tmp_path: Path
) -> None:
    one, other, third = join(), join(), join()
    came: list[str] = []

    def wait(volumes: Volumes, name: str) -> None:
        with volume_lease(tmp_path / "a", volumes=volumes):
            came.append(name)

    with volume_lease(tmp_path / "a", volumes=one):
        waiters = []
        for volumes, name in ((other, "first"), (third, "second")):
            waiters.append(threading.Thread(target=wait, args=(volumes, name)))
            waiters[-1].start()
            assert eventually(lambda: waits(volumes))  # noqa: B023 - called before the next
        old = [hosted_of(v).session.calls.incarnation for v in (one, other, third)]
        redis_server.kill()
        redis_server.start()
        assert eventually(
            lambda: all(
                hosted_of(v).session.calls.incarnation > before
                for v, before in zip((one, other, third), old, strict=True)
            )
        )
    for waiter in waiters:
        waiter.join(20)
    assert came == ["first", "second"]


def test_a_pause_longer_than_the_ttl_costs_the_lease_and_another_gets_it(
    join: Join, redis_server: RedisServer, tmp_path: Path
) -> None:
    one = join()
    told = threading.Event()
    with pytest.raises(LeaseLost), volume_lease(tmp_path / "a", volumes=one) as lease:
        lease.on_lost(lambda lease: told.set())
        redis_server.pause()
        assert told.wait(TTL + 1)
        redis_server.resume()
        lease.check()
    with volume_lease(tmp_path / "a", timeout=3 * TTL, volumes=join()):
        pass


def test_workers_with_two_redises_are_told_before_both_can_hold(join: Join, tmp_path: Path) -> None:
    """The second begins with a grace; in that time the first one's holders find out."""
    with (
        RedisServer() as wrong,
        pytest.raises(LeaseLost, match="another Redis"),
        ExitStack() as ends,
    ):
        lease = ends.enter_context(volume_lease(tmp_path / "a", volumes=join()))
        assert eventually(lambda: any((tmp_path / ".volumelease").rglob("redis")))
        second = join(wrong.url)
        seen: list[bool] = []

        def take() -> None:
            with volume_lease(tmp_path / "a", volumes=second):
                seen.append(lease.lost)

        taker = threading.Thread(target=take)
        taker.start()
        taker.join(20)
        assert seen == [True]
        lease.check()


def test_a_publish_is_checked_and_a_broken_lease_publishes_nothing(
    join: Join, tmp_path: Path
) -> None:
    one, other = join(), join()
    with volume_lease(tmp_path / "file", volumes=one) as lease, lease.open(lease.paths[0]) as file:
        file.write(b"old")
    with volume_lease(tmp_path / "b", volumes=other):
        breaking = hosted_of(other).session.breaking
        with (
            pytest.raises(LeaseLost),
            volume_lease(tmp_path / "file", volumes=one) as lease,
            lease.stage() as draft,
        ):
            draft.write_bytes(b"new")
            assert hosted_of(other).run(breaking.begin(lease.token, "stuck"))
    assert (tmp_path / "file").read_bytes() == b"old"


def test_who_is_missing_in_a_grace_is_not_taken_for_dead(
    join: Join, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Else the drafts of those who have not named themselves yet would be cleared away."""
    import redis

    one, other = join(), join()
    with volume_lease(tmp_path / "a", volumes=one), volume_lease(tmp_path / "b", volumes=other):
        members = hosted_of(one).session.publishing._members
        hosted_of(one).run(members.catch_up())
        assert hosted_of(other).session.name in members.sessions
        client = redis.Redis.from_url(redis_server.url)
        client.flushall()
        client.close()
        with pytest.raises(AuthorityUnreachable, match="telling it again"):
            hosted_of(one).run(members.catch_up())


def test_a_directory_is_published_as_a_version(join: Join, tmp_path: Path) -> None:
    one = join()
    for content in ("1", "2"):
        with volume_lease(tmp_path / "d", volumes=one) as lease, lease.stage() as draft:
            draft.mkdir()
            (draft / "x").write_text(content)
    assert (tmp_path / "d").is_symlink()
    assert (tmp_path / "d/x").read_text() == "2"


def test_a_thousand_leases_leave_the_keys_that_were_there(
    join: Join, redis_server: RedisServer, tmp_path: Path
) -> None:
    import redis

    one = join()
    client = redis.Redis.from_url(redis_server.url)
    with volume_lease(tmp_path / "a/b/c", volumes=one):
        pass
    before = sorted(client.keys("*"))
    for number in range(1000):
        with volume_lease(tmp_path / f"a/{number}", volumes=one):
            pass
    assert sorted(client.keys("*")) == before
    client.close()


def test_a_grant_counts_only_once_the_replicas_have_it(
    join: Join, redis_server: RedisServer, tmp_path: Path
) -> None:
    """WAIT, as an option: alone, this server grants nothing that would be lost with it."""
    join()
    with pytest.raises(AuthorityUnreachable, match="0 of the 1 replicas"):
        volume_lease(tmp_path / "a", volumes=join(redis_replicas=1)).__enter__()


def test_a_redis_without_memory_goes_on_with_what_it_has(
    join: Join, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Beats and releases need none, a new lease does."""
    import redis

    one = join()
    client = redis.Redis.from_url(redis_server.url)
    with volume_lease(tmp_path / "a", volumes=one) as lease:
        client.config_set("maxmemory", 1)
        with pytest.raises(AuthorityUnsuitable, match="maxmemory"):
            volume_lease(tmp_path / "b", volumes=one).__enter__()
        time.sleep(1.5 * TTL)
        lease.check()
    assert hosted_of(one).alive()
    client.config_set("maxmemory", 0)
    with volume_lease(tmp_path / "a", timeout=0, volumes=join()):
        pass
    client.close()


def test_a_redis_that_throws_keys_away_is_refused(
    join: Join, redis_server: RedisServer, tmp_path: Path
) -> None:
    import redis

    one = join()
    client = redis.Redis.from_url(redis_server.url)
    client.config_set("maxmemory", 100_000_000)
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.close()
    with pytest.raises(VolumeUnsuitable, match="allkeys-lru"):
        volume_lease(tmp_path / "a", volumes=one).__enter__()


def test_a_link_that_was_moved_while_its_path_was_waited_for_is_followed_again(
    join: Join, tmp_path: Path
) -> None:
    """What is granted must be where the path leads by then."""
    one, other = join(), join()
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    link = tmp_path / "link"
    link.symlink_to("x")
    got: list[tuple[str, ...]] = []

    def wait() -> None:
        with volume_lease(link / "file", volumes=other):
            held = hosted_of(other).session.requests.wanted.values()
            got.extend(tuple(claim.path for claim in mine.acquire.claims) for mine in held)

    with volume_lease(tmp_path / "x", volumes=one):
        with volume_lease(tmp_path / "free", volumes=other):
            pass  # now its session knows the last number
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert eventually(lambda: waits(other))
        link.unlink()
        link.symlink_to("y")
    waiter.join(10)
    assert got == [("y/file",)]


def test_auto_takes_the_redis_only_where_the_log_cannot_live(tmp_path: Path) -> None:
    from volumelease.leases.choosing import choose

    settings = Surroundings.of_this_process().settings._replace(authority="auto", redis_url=None)
    with_url = settings._replace(redis_url="redis://localhost/0")
    local = locate(str(tmp_path), explicit=str(tmp_path))
    geesefs = local._replace(mount=local.mount._replace(fstype="fuse.geesefs"))
    unknown = local._replace(mount=local.mount._replace(fstype="nfs4"))
    read_only = geesefs._replace(mount=geesefs.mount._replace(options=("ro",)))
    assert choose(local, with_url) == "volume"
    assert choose(local, with_url._replace(authority="redis")) == "redis"
    assert choose(geesefs, with_url) == "redis"
    assert choose(unknown, with_url) == "redis"
    for root, given in (
        (geesefs, settings),
        (unknown, settings),
        (geesefs, with_url._replace(authority="volume")),
        (read_only, with_url),
    ):
        with pytest.raises(VolumeUnsuitable):
            choose(root, given)


def test_nothing_is_made_where_the_redis_does_not_answer(tmp_path: Path) -> None:
    if reason := missing_redis():
        pytest.skip(reason)
    base = Surroundings.of_this_process()
    settings = base.settings._replace(authority="redis", redis_url="redis://:secret@127.0.0.1:1/0")
    volumes = Volumes(base._replace(settings=settings))
    with pytest.raises(AuthorityUnreachable) as caught:
        volumes.session(locate(str(tmp_path), explicit=str(tmp_path)))
    assert "secret" not in str(caught.value)
    assert not os.listdir(tmp_path)


def test_what_the_server_ended_is_lost_as_soon_as_anything_is_asked(
    join: Join, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Not at the next beat: and a new session asks, not the dead one again and again."""
    one = join()
    with (
        pytest.raises(LeaseLost, match="another session saw no beat"),
        volume_lease(tmp_path / "a", volumes=one) as lease,
    ):
        dead = hosted_of(one)
        calls = dead.session.calls
        scripts = dead._scripts
        head = (calls.incarnation, "another call", dead.session.name, "0")
        assert scripts.perform(CallScript("close", calls._key, head)) == [b"closed"]
        with volume_lease(tmp_path / "b", timeout=2 * TTL, volumes=one) as other:
            assert lease.lost
            other.check()
        assert dead.over
    assert hosted_of(one) is not dead
