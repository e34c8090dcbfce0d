"""``volumelease doctor`` on a Redis: what it needs to grant leases, and what is wrong with one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bed.redis import FLAVOURS, RedisServer, free_port, missing_redis
from tests.bed.redis_proxy import RedisProxy
from tests.bed.redis_sentinel import RedisFleet
from tests.bed.redis_tls import make_certificates, missing_openssl

from .shell import error_of, run

SECRET: Final = "hunter2"
NAMES: Final = [
    "redis",
    "redis-scripts",
    "redis-channel",
    "redis-latency",
    "redis-role",
    "redis-eviction",
    "redis-memory",
    "redis-persistence",
    "redis-replicas",
    "redis-clock",
]


@pytest.fixture(autouse=True)
def _needs_redis() -> None:
    if reason := missing_redis():
        pytest.skip(reason)


@contextmanager
def server_of(flavour: str = "redis", **options: Any) -> Iterator[RedisServer]:
    if reason := missing_redis(flavour):
        pytest.skip(reason)
    with RedisServer(flavour=flavour, **options) as server:
        yield server


def checks_of(url: str, *more: str, env: dict[str, str] | None = None) -> dict[str, dict[str, str]]:
    """What it found in its form for programs. Nothing it says tells the secret."""
    everything = {"VOLUMELEASE_REDIS_URL": url, **(env or {})}
    result = run("doctor", *(more or ("--redis",)), "--json", env=everything)
    assert result.stderr == ""
    assert SECRET not in result.stdout
    found = json.loads(result.stdout)
    assert found["schema"] == 1
    checks = {check["name"]: check for check in found["checks"]}
    assert all(check["advice"] or check["outcome"] == "ok" for check in checks.values())
    failed = any(check["outcome"] == "fail" for check in checks.values())
    assert result.returncode == (1 if failed else 0)
    return checks


def verdict(url: str, name: str, **options: Any) -> tuple[str, str, str]:
    check = checks_of(url, **options)[name]
    return check["outcome"], check["detail"], check["advice"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_good_one_passes_and_is_left_as_it_was(flavour: str) -> None:
    with server_of(flavour, aof=True, password=SECRET) as server:
        result = run("doctor", "--redis", env={"VOLUMELEASE_REDIS_URL": server.url})
        assert (result.returncode, result.stderr) == (0, "")
        *lines, limit = result.stdout.splitlines()
        assert [line.split()[:2] for line in lines] == [["ok", f"{name}:"] for name in NAMES]
        assert limit.startswith("limit: not proven")
        assert server.client().dbsize() == 0
        checks = checks_of(server.url)
        assert list(checks) == NAMES
        assert flavour.partition("-")[0] in checks["redis"]["detail"].lower()
        assert "AOF" in checks["redis-persistence"]["detail"]
        assert "15 s" in checks["redis-persistence"]["detail"]


def test_a_password_in_a_file_serves(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n")
    with server_of(password=SECRET) as server:
        url = f"redis://127.0.0.1:{server.port}"
        env = {"VOLUMELEASE_REDIS_PASSWORD_FILE": str(file)}
        assert verdict(url, "redis", env=env)[0] == "ok"


def test_as_a_bell_it_is_not_needed(volume: Path) -> None:
    with server_of() as server:
        checks = checks_of(server.url, str(volume))
        assert [name for name in checks if name.startswith("redis")] == [
            "redis",
            "redis-channel",
            "redis-latency",
        ]
        assert "rings the bell" in checks["redis"]["detail"]
        url = server.url
    checks = checks_of(url, str(volume))
    assert checks["redis"]["outcome"] == "warn"
    assert "waiters poll without it" in checks["redis"]["detail"]
    assert "VOLUMELEASE_REDIS_URL" in checks["redis"]["advice"]


def test_for_a_volume_that_is_to_be_made_with_it_all_is_looked_at(tmp_path: Path) -> None:
    with server_of() as server:
        env = {"VOLUMELEASE_AUTHORITY": "redis"}
        checks = checks_of(server.url, str(tmp_path), env=env)
        assert [name for name in checks if name.startswith("redis")] == NAMES
        assert list(tmp_path.iterdir()) == []


def test_without_a_redis_nothing_is_said_of_one(volume: Path) -> None:
    result = run("doctor", "--json", volume)
    found = json.loads(result.stdout)
    assert found["redis"] is None
    assert not [check for check in found["checks"] if "redis" in check["name"]]
    what, advice = error_of(run("doctor", "--redis"))
    assert "no Redis is configured" in what
    assert "VOLUMELEASE_REDIS_URL" in advice


def test_redis_alone_takes_no_directory(volume: Path) -> None:
    result = run("doctor", "--redis", volume, env={"VOLUMELEASE_REDIS_URL": "redis://h"})
    assert result.returncode == 2
    error_of(result)


# ---- what is wrong with one


@pytest.mark.parametrize("command", ["doctor", "status --json", "hold"])
@pytest.mark.parametrize(
    "url", [f"redis://:{SECRET}", f"redis://:{SECRET}/x@h", f"redis://h/{SECRET}", f"x{SECRET}"]
)
def test_a_wrong_address_is_an_error_of_every_command(volume: Path, command: str, url: str) -> None:
    more = ("--", "true") if command == "hold" else ()
    result = run(*command.split(), volume, *more, env={"VOLUMELEASE_REDIS_URL": url})
    assert result.returncode == 1
    what, advice = error_of(result)
    assert "VOLUMELEASE_REDIS_URL=" in what
    assert advice
    assert SECRET not in result.stderr + result.stdout


def test_a_wrong_password_file_is_an_error(volume: Path) -> None:
    env = {
        "VOLUMELEASE_REDIS_URL": "redis://h",
        "VOLUMELEASE_REDIS_PASSWORD_FILE": "/not/there",
    }
    what, _ = error_of(run("status", "--json", volume, env=env))
    assert "VOLUMELEASE_REDIS_PASSWORD_FILE='/not/there'" in what


def test_who_asks_wrongly_is_told(tmp_path: Path) -> None:
    users = [f"bob on >{SECRET}-not ~* &* +@all", f"guest on >{SECRET} ~other:* &other:* +@all"]
    with server_of(password="right", users=users) as server:
        at = f"@127.0.0.1:{server.port}"
        for who, name, says in (
            (f":{SECRET}", "redis", "refuses the password of the default user"),
            (f"bob:{SECRET}", "redis", "refuses the password of user 'bob'"),
            ("", "redis", "asks for a password"),
            (f"guest:{SECRET}", "redis-scripts", "does not permit user 'guest'"),
            (f"guest:{SECRET}", "redis-channel", "does not permit user 'guest'"),
        ):
            outcome, detail, _ = verdict(f"redis://{who}{at}" if who else f"redis://{at[1:]}", name)
            assert outcome == "fail"
            assert says in detail, who


def test_what_it_is_not_is_told(tmp_path: Path) -> None:
    with server_of() as server, RedisProxy(server.address) as proxy:
        proxy.door.speak_as_version_5()
        outcome, detail, advice = verdict(proxy.door.url, "redis")
        assert (outcome, "at least 6.2" in detail, "Upgrade" in advice) == ("fail", True, True)
        assert list(checks_of(proxy.door.url)) == ["redis"]
    with server_of(more=["cluster-enabled yes"]) as server:
        assert "Redis Cluster" in verdict(server.url, "redis")[1]
    with server_of() as master, server_of(replica_of=master) as replica:
        master.wait_for_replicas(1)
        assert "read-only replica" in verdict(replica.url, "redis")[1]
    with server_of(more=['rename-command EVAL ""']) as server:
        outcome, detail, _ = verdict(server.url, "redis-scripts")
        assert (outcome, "no Lua scripts" in detail) == ("fail", True)
    assert "nobody listens" in verdict(f"redis://:{SECRET}@127.0.0.1:{free_port()}", "redis")[1]


def test_tls_is_explained(tmp_path: Path) -> None:
    if reason := missing_openssl():
        pytest.skip(reason)
    made = make_certificates(tmp_path)
    with server_of(tls=made, password=SECRET) as server:
        outcome, detail, advice = verdict(server.tls_url, "redis")
        assert (outcome, "certificate verify failed" in detail) == ("fail", True)
        assert "ssl_ca_certs" in advice
        assert verdict(f"{server.tls_url}?ssl_ca_certs={made.ca}", "redis")[0] == "ok"


def test_a_full_memory_fails_and_little_left_is_a_warning() -> None:
    with server_of() as server:
        server.client().setbit("big", 160_000_000, 1)  # 20 MB, none of it in buffers
        used = server.client().info("memory")["used_memory"]
        server.client().config_set("maxmemory", used * 10)
        assert verdict(server.url, "redis-memory")[0] == "ok"
        server.client().config_set("maxmemory", int(used * 1.1))
        assert verdict(server.url, "redis-memory")[0] == "warn"
        server.client().config_set("maxmemory", 1)
        checks = checks_of(server.url)
        assert checks["redis-memory"]["outcome"] == "fail"
        assert "leases are refused" in checks["redis-memory"]["detail"]
        assert "maxmemory is reached" in checks["redis-scripts"]["detail"]


def test_an_eviction_policy_fails_once_it_can_act() -> None:
    with server_of(more=["maxmemory-policy allkeys-lru"]) as server:
        assert verdict(server.url, "redis-eviction")[0] == "warn"
        server.client().config_set("maxmemory", "100mb")
        outcome, detail, advice = verdict(server.url, "redis-eviction")
        assert (outcome, "allkeys-lru" in detail) == ("fail", True)
        assert "noeviction" in advice


def test_a_slow_one_is_measured_against_the_ttl() -> None:
    with server_of() as server, RedisProxy(server.address) as proxy:
        proxy.door.delay(replies=0.1)
        env = {"VOLUMELEASE_TTL": "2"}
        outcome, detail, _ = verdict(proxy.door.url, "redis-latency", env=env)
        assert (outcome, "every 0.6" in detail) == ("warn", True)


def test_what_a_restart_costs_is_told() -> None:
    with server_of() as server:
        outcome, detail, advice = verdict(
            server.url, "redis-persistence", env={"VOLUMELEASE_TTL": "7"}
        )
        assert (outcome, "no AOF" in detail, "(7 s)" in detail) == ("warn", True, True)
        assert "appendonly yes" in advice


def test_a_disk_that_takes_nothing_fails() -> None:
    with server_of() as server:
        server.client().config_set("save", "3600 1")
        blocked = server.folder / "dump.rdb"
        blocked.mkdir()  # root may write anywhere, but not a file over a directory
        server.client().set("a", "b")
        server.client().bgsave()
        outcome = ""
        for _ in range(50):
            outcome, detail, _ = verdict(server.url, "redis-persistence")
            if outcome == "fail":
                assert "rdb_last_bgsave_status" in detail
                break
        assert outcome == "fail"


def test_a_fleet_is_told_what_narrows_a_split() -> None:
    with RedisFleet() as fleet:
        outcome, detail, advice = verdict(fleet.url, "redis-replicas")
        assert (outcome, "goes on granting" in detail) == ("warn", True)
        assert "min-replicas-to-write 1" in advice
        assert "3 sentinels" in verdict(fleet.url, "redis-role")[1]
        outcome, detail, _ = verdict(fleet.servers[0].url, "redis-role")
        assert (outcome, "failover is not followed" in detail) == ("warn", True)
        fleet.master.client().config_set("min-replicas-to-write", 1)
        assert verdict(fleet.url, "redis-replicas")[0] == "ok"
        fleet.master.client().config_set("min-replicas-to-write", 2)
        assert verdict(fleet.url, "redis-replicas")[0] == "fail"


def test_what_may_not_be_seen_is_a_warning() -> None:
    users = [f"bob on >{SECRET} ~{{volumelease:* &volumelease:* +@all -@dangerous"]
    with server_of(users=users, aof=True) as server:
        checks = checks_of(f"redis://bob:{SECRET}@127.0.0.1:{server.port}")
        unseen = {name for name, check in checks.items() if check["outcome"] == "warn"}
        assert unseen == {
            "redis-role",
            "redis-eviction",
            "redis-memory",
            "redis-persistence",
            "redis-replicas",
        }
        assert all("+info" in checks[name]["advice"] for name in unseen)


def test_a_redis_that_hangs_is_given_up_on() -> None:
    with server_of() as server:
        server.pause()
        outcome, detail, _ = verdict(server.url, "redis")
        assert (outcome, "did not answer in time" in detail) == ("fail", True)
        server.resume()
