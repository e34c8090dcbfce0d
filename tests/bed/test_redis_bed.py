"""The Redis part of the test bed does what tests rely on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from .network import BedError
from .redis import FLAVOURS, RedisServer, eventually, missing_redis
from .redis_proxy import RedisProxy, one_value
from .redis_sentinel import RedisFleet
from .redis_tls import make_certificates, missing_openssl
from .undertaker import start_of


@pytest.fixture(autouse=True)
def _needs_redis() -> None:
    if reason := missing_redis():
        pytest.skip(reason)


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[RedisProxy]:
    with RedisProxy(redis_server.address, doors=2) as proxy:
        yield proxy


def client_of(port: int, **options: Any) -> Any:
    once = Retry(NoBackoff(), 0)
    return redis.Redis(port=port, socket_timeout=0.3, protocol=2, retry=once, **options)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_flavour_starts_and_answers(flavour: str) -> None:
    if reason := missing_redis(flavour):
        pytest.skip(reason)
    with RedisServer(flavour=flavour) as server:
        said = server.client().info("server")
        name = said.get("server_name", "redis")
        print(flavour, name, said["redis_version"], said.get("valkey_version"))
        assert name == flavour.partition("-")[0]


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("aof", [True, False])
def test_a_restart_keeps_what_was_acknowledged_only_with_aof(aof: bool, keep: bool) -> None:
    with RedisServer(aof=aof, password="word") as server:
        before = server.client().info("server")["run_id"]
        server.client().set("a", "b")
        server.restart(keep=keep)
        server.wait_until_answers()
        assert server.client().get("a") == (b"b" if aof and keep else None)
        assert server.client().info("server")["run_id"] != before


def test_a_flush_forgets_and_stays_the_same_server(redis_server: RedisServer) -> None:
    before = redis_server.client().info("server")["run_id"]
    redis_server.client().set("a", "b")
    redis_server.flush()
    assert redis_server.client().dbsize() == 0
    assert redis_server.client().info("server")["run_id"] == before


def test_a_paused_server_takes_connections_and_answers_later(redis_server: RedisServer) -> None:
    redis_server.pause()
    client = client_of(redis_server.port, single_connection_client=False)
    with pytest.raises(redis.TimeoutError):
        client.ping()
    redis_server.resume()
    assert client.ping()
    client.close()


def test_a_paused_server_is_ended_too() -> None:
    with RedisServer() as server:
        pid = server.pid
        server.pause()
    assert not start_of(pid)


def test_servers_end_with_the_process_that_started_them() -> None:
    program = (
        "import sys\nfrom tests.bed.redis import RedisServer\n"
        "server = RedisServer()\nserver.start()\nprint(server.pid, server.folder, flush=True)\n"
        "sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        said, folder = process.stdout.readline().split()
        pid = int(said)
        assert start_of(pid)
        os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: not start_of(pid) and not Path(folder).exists(), 10)


def test_a_server_that_can_not_start_says_why() -> None:
    with pytest.raises(BedError, match="nonsense"), RedisServer(more=["nonsense 7"]):
        pass


def test_users_may_only_what_they_may(redis_server: RedisServer) -> None:
    del redis_server
    with RedisServer(users=["bob on >secret ~a:* +get"]) as server:
        client = client_of(server.port, username="bob", password="secret")
        assert client.get("a:1") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("b:1")
        client.close()


def test_tls_is_checked_against_the_ca(tmp_path: Path) -> None:
    if reason := missing_openssl():
        pytest.skip(reason)
    made = make_certificates(tmp_path)
    with RedisServer(tls=made) as server:
        for ca, works in ((made.ca, True), (made.stranger, False)):
            client = client_of(server.tls_port, ssl=True, ssl_ca_certs=str(ca))
            if works:
                assert client.ping()
            else:
                with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
                    client.ping()
            client.close()


def test_sentinels_fail_over_and_the_old_master_comes_back_as_a_replica() -> None:
    with RedisFleet(password="word") as fleet:
        old = fleet.master
        old.client().set("a", "b")
        old.wait_for_replicas(1)
        began = time.monotonic()
        new = fleet.fail_over()
        print(f"failed over in {time.monotonic() - began:.1f} s")
        assert new is not old
        assert new.client().get("a") == b"b"
        new.client().set("a", "c")
        fleet.bring_back(old)
        assert fleet.master is new
        assert old.client().get("a") == b"c"


def test_a_lagging_replica_becomes_master_without_what_it_did_not_hear() -> None:
    with RedisFleet() as fleet:
        fleet.master.client().set("early", "1")
        fleet.master.wait_for_replicas(1)
        fleet.stop_replication()
        fleet.master.client().set("late", "1")
        new = fleet.fail_over()
        assert new.client().get("early") == b"1"
        assert new.client().get("late") is None


def test_a_door_that_is_cut_leaves_the_others_open(proxy: RedisProxy) -> None:
    one, other = (client_of(door.port) for door in proxy.doors)
    assert one.ping()
    assert other.ping()
    proxy.doors[0].cut()
    with pytest.raises(redis.TimeoutError):
        one.ping()
    assert other.ping()
    proxy.doors[0].heal()
    eventually(one.ping, 2)
    one.close()
    other.close()


def test_what_a_cut_held_back_arrives_late_although_its_client_has_gone(
    redis_server: RedisServer, proxy: RedisProxy
) -> None:
    client = client_of(proxy.doors[0].port)
    assert client.ping()
    proxy.doors[0].cut()
    with pytest.raises(redis.TimeoutError):
        client.set("late", "1")
    client.close()
    assert redis_server.client().get("late") is None
    proxy.doors[0].heal(deliver=True)
    eventually(lambda: redis_server.client().get("late") == b"1", 2)


def test_replies_are_lost_and_the_requests_were_carried_out(
    redis_server: RedisServer, proxy: RedisProxy
) -> None:
    client = client_of(proxy.doors[0].port)
    assert client.ping()
    proxy.doors[0].drop_replies()
    with pytest.raises(redis.TimeoutError):
        client.incr("n")
    assert redis_server.client().get("n") == b"1"
    proxy.doors[0].heal()
    eventually(client.ping, 2)
    client.close()


def test_a_slow_way_is_slow_in_the_direction_that_was_said(
    redis_server: RedisServer, proxy: RedisProxy
) -> None:
    client = client_of(proxy.doors[0].port)
    proxy.doors[0].delay(replies=0.1)
    began = time.monotonic()
    client.ping()
    assert time.monotonic() - began >= 0.1
    proxy.doors[0].delay(requests=0.6)
    with pytest.raises(redis.TimeoutError):
        client.set("slow", "1")
    eventually(lambda: redis_server.client().get("slow") == b"1", 2)
    client.close()


def test_connections_end_as_with_a_restart_and_new_ones_come_about(proxy: RedisProxy) -> None:
    client = client_of(proxy.doors[0].port)
    assert client.ping()
    proxy.doors[0].end_connections()
    eventually(client.ping, 2)
    client.close()


def test_a_proxy_can_lead_to_another_server(redis_server: RedisServer, proxy: RedisProxy) -> None:
    with RedisServer() as other:
        other.client().set("which", "other")
        redis_server.client().set("which", "first")
        client = client_of(proxy.doors[0].port)
        assert client.get("which") == b"first"
        proxy.lead_to(other.address)
        proxy.doors[0].end_connections()
        assert eventually(lambda: client.get("which"), 2) == b"other"
        client.close()


def test_a_server_can_be_made_to_call_itself_version_5(
    redis_server: RedisServer, proxy: RedisProxy
) -> None:
    proxy.doors[0].speak_as_version_5()
    client = client_of(proxy.doors[0].port)
    assert client.info("server")["redis_version"].startswith("5.0.")
    with pytest.raises(redis.ResponseError, match="unknown command"):
        client.execute_command("HELLO")
    assert client.set("a", "b")
    assert redis_server.client().get("a") == b"b"
    client.close()


@pytest.mark.parametrize(
    "value", [b"+OK\r\n", b":7\r\n", b"$-1\r\n", b"$2\r\na\n\r\n", b"*2\r\n$1\r\na\r\n*0\r\n"]
)
def test_the_proxy_knows_where_a_value_ends(value: bytes) -> None:
    async def read() -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(value + b"+next\r\n")
        return await one_value(reader)

    assert asyncio.run(read()) == value
