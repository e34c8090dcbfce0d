"""A Redis with the configuration of deploy/redis keeps what it acknowledged, and throws nothing
away."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("redis")

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.bed.redis import FLAVOURS, RedisServer, missing_redis
from tests.cli.shell import Running, eventually, run

from .files import DEPLOY

CONFIGURATION = DEPLOY / "redis" / "redis.conf"
WRITERS = 4


@pytest.fixture(params=FLAVOURS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    if reason := missing_redis(request.param):
        pytest.skip(reason)
    with RedisServer(flavour=request.param, more=[f"include {CONFIGURATION}"]) as server:
        yield server


class Writer(threading.Thread):
    """Writes growing numbers, and remembers the last one that was acknowledged."""

    def __init__(self, server: RedisServer, name: str) -> None:
        super().__init__(daemon=True)
        self.key = name
        self.sent = self.acknowledged = 0
        self.client = redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0), protocol=2)

    def run(self) -> None:
        try:
            while True:
                self.sent += 1
                self.client.set(self.key, self.sent)
                self.acknowledged = self.sent
        except redis.RedisError:
            self.client.close()


def test_a_killed_redis_has_every_write_that_it_acknowledged(server: RedisServer) -> None:
    for round_ in range(3):
        writers = [Writer(server, f"writer-{round_}-{number}") for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(0.3)
        server.restart()
        for writer in writers:
            writer.join(10)
        server.wait_until_answers()
        for writer in writers:
            assert writer.acknowledged > 0
            found = int(server.client().get(writer.key))
            assert writer.acknowledged <= found <= writer.sent


def test_it_says_that_it_writes_before_it_answers_and_evicts_nothing(server: RedisServer) -> None:
    said = server.client().config_get("*")
    assert (said["appendonly"], said["appendfsync"]) == ("yes", "always")
    assert said["maxmemory-policy"] == "noeviction"
    assert said["save"] == ""


def test_a_full_memory_refuses_and_throws_nothing_away(server: RedisServer) -> None:
    client = server.client()
    client.set("kept", "x")
    client.config_set("maxmemory", "4mb")
    written = 0
    with pytest.raises(redis.RedisError, match="maxmemory"):
        for written in range(10_000):  # how far it came
            client.set(f"filler-{written}", "x" * 10_000)
    assert client.get("kept") == b"x"
    assert all(client.exists(f"filler-{number}") for number in range(written))


def test_a_lease_outlives_the_kill_of_its_redis(tmp_path: Path) -> None:
    if reason := missing_redis():
        pytest.skip(reason)
    volume = tmp_path / "volume"
    volume.mkdir()
    with RedisServer(more=[f"include {CONFIGURATION}"]) as server:
        env = {"VOLUMELEASE_REDIS_URL": server.url, "VOLUMELEASE_VOLUME": str(volume)}
        done = run("init", volume, "--authority", "redis", "--ttl", "3", env=env)
        assert done.returncode == 0, done.stderr
        out = tmp_path / "done"
        command = ["sh", "-c", f"echo a >>{out}; sleep 5; echo b >>{out}"]
        with Running("hold", volume / "models", "--", *command, env=env) as holder:
            eventually(out.exists, 30)
            server.restart()
            code, _, said = holder.finish(60)
        assert (code, out.read_text()) == (0, "a\nb\n"), said


def test_it_survives_a_term_in_the_middle_too(server: RedisServer) -> None:
    writer = Writer(server, "a")
    writer.start()
    time.sleep(0.1)
    assert server._process is not None
    server._process.send_signal(signal.SIGTERM)
    server._process.wait(20)
    writer.join(10)
    server.start()
    server.wait_until_answers()
    assert int(server.client().get("a")) >= writer.acknowledged
