"""One address, two clients: what works with threads works in a loop."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.bed.redis import FLAVOURS, RedisServer, eventually, free_port, missing_redis
from tests.bed.redis_proxy import RedisProxy
from tests.bed.redis_sentinel import SERVICE, RedisFleet, Sentinel
from tests.bed.redis_tls import Certificates, make_certificates, missing_openssl
from volumelease.authorities.redis.addresses import address_of
from volumelease.authorities.redis.calling import state_key
from volumelease.authorities.redis.connecting import (
    close,
    connect,
    connect_in_loop,
    greet,
)
from volumelease.authorities.redis.troubles import asked
from volumelease.drivers.files import Files
from volumelease.effects import CallScript
from volumelease.errors import AuthorityUnreachable, AuthorityUnsuitable, SettingsInvalid
from volumelease.leases.redis_hosting import scripts_on
from volumelease.settings import Settings

from .asking import Ask, ask_in_a_loop, ask_with_threads

pytestmark = pytest.mark.usefixtures("needs_redis")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if reason := missing_openssl():
        pytest.skip(reason)
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[RedisServer]:
    """One for all tests that do it no harm."""
    users = ["bob on >b@b/word ~* &* +@all", "guest on nopass ~* &* +@all"]
    with RedisServer("pass/w@rd", tls=certificates, users=users) as server:
        yield server


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_server_that_serves_is_greeted(flavour: str, ask: Ask) -> None:
    if reason := missing_redis(flavour):
        pytest.skip(reason)
    with RedisServer(flavour=flavour) as server:
        said = ask(address_of(server.url))
        assert (said["server"], said["role"]) == (flavour.partition("-")[0], "master")
        assert ask(address_of(server.url), ("EVAL", "return {1, 'a'}", 0)) == [1, b"a"]


def test_every_way_leads_to_the_same_server(
    server: RedisServer, certificates: Certificates, tmp_path: Path, ask: Ask
) -> None:
    word = "pass%2Fw%40rd"
    file = tmp_path / "password"
    file.write_text("pass/w@rd\n")
    socket = f"{server.folder}/socket"
    ca = f"ssl_ca_certs={certificates.ca}"
    client = ("CLIENT", "INFO")
    for url, password_file, user in (
        (f"redis://:{word}@127.0.0.1:{server.port}/2", None, b"default"),
        (f"redis://127.0.0.1:{server.port}/2", file, b"default"),
        (f"redis://default@127.0.0.1:{server.port}/2", file, b"default"),
        (f"redis://bob:b%40b%2Fword@localhost:{server.port}/2", None, b"bob"),
        (f"redis://guest@localhost:{server.port}/2", None, b"guest"),
        (f"unix://:{word}@{socket}?db=2", None, b"default"),
        (f"unix://bob@{socket}?db=2&password=b%40b/word", None, b"bob"),
        (f"rediss://:{word}@127.0.0.1:{server.tls_port}/2?{ca}", None, b"default"),
        (f"rediss://:{word}@localhost:{server.tls_port}?db=2&{ca}", None, b"default"),
        (f"rediss://:{word}@127.0.0.1:{server.tls_port}/2?ssl_cert_reqs=none", None, b"default"),
    ):
        address = address_of(url, str(password_file) if password_file else None)
        said = bytes(ask(address, client))
        assert b" db=2 " in said, url
        assert b" user=" + user + b" " in said, url


def test_a_password_that_changed_in_its_file_counts_from_the_next_connection_on(
    tmp_path: Path, ask: Ask
) -> None:
    file = tmp_path / "password"
    file.write_text("one")
    with RedisServer("one") as server:
        address = address_of(f"redis://127.0.0.1:{server.port}", str(file))
        assert ask(address, ("PING",))
        server.client().config_set("requirepass", "two")
        file.write_text("two")
        assert ask(address, ("PING",))
        file.unlink()
        with pytest.raises(SettingsInvalid, match="PASSWORD_FILE"):
            ask(address, ("PING",))


def test_a_client_recovers_when_its_password_file_does(tmp_path: Path) -> None:
    """A connection that failed on the way must not be used without a password."""
    file = tmp_path / "password"
    file.write_text("one")
    with RedisServer("one") as server:
        address = address_of(f"redis://127.0.0.1:{server.port}", str(file))
        client = connect(address)
        file.unlink()
        with pytest.raises(SettingsInvalid):
            asked(address, client.ping)
        file.write_text("one")
        assert asked(address, client.ping)
        close(client)


def test_the_client_follows_the_master(ask: Ask) -> None:
    with RedisFleet(password="word") as fleet:
        address = address_of(fleet.url)
        client = connect(address)
        greet(client, address)
        client.set("a", "b")
        fleet.master.wait_for_replicas(1)
        fleet.fail_over()
        assert eventually(lambda: client.get("a"), 5) == b"b"
        close(client)
        assert ask(address, ("GET", "a")) == b"b"


def test_sentinels_that_do_not_answer_are_passed_over(ask: Ask) -> None:
    with RedisFleet() as fleet:
        fleet.sentinels[0].kill()
        dead = f"127.0.0.1:{free_port()}"
        living = ",".join(f"127.0.0.1:{one.port}" for one in fleet.sentinels)
        url = f"redis+sentinel://{dead},{living}/{SERVICE}"
        assert ask(address_of(url), ("PING",))


def test_tls_leads_to_sentinels_and_to_the_master(certificates: Certificates, ask: Ask) -> None:
    with RedisServer("word", tls=certificates) as master:
        sentinel = Sentinel(master.tls_port, 700, "word")
        port = free_port()
        lines = [f"tls-port {port}", "tls-replication yes", "tls-auth-clients no"]
        lines += [f"tls-ca-cert-file {certificates.ca}", f"tls-cert-file {certificates.cert}"]
        lines += [f"tls-key-file {certificates.key}", ""]
        sentinel.configuration += "\n".join(lines)
        with sentinel:
            eventually(lambda: sentinel.client().sentinel_master(SERVICE)["is_master"], 5)
            url = f"rediss+sentinel://:word@127.0.0.1:{port}/{SERVICE}/2?ssl_ca_certs="
            address = address_of(f"{url}{certificates.ca}")
            assert b" db=2 " in bytes(ask(address, ("CLIENT", "INFO")))
            # Not every redis-py says what kept it from a sentinel.
            with pytest.raises((AuthorityUnreachable, AuthorityUnsuitable)):
                ask(address_of(f"{url}{certificates.stranger}"))


def test_nothing_is_tried_twice(redis_server: RedisServer, ask: Ask) -> None:
    """A command whose answer was lost may have been carried out."""
    with RedisProxy(redis_server.address) as proxy:
        proxy.door.delay(replies=0.5)
        with pytest.raises(AuthorityUnreachable, match="did not answer in time"):
            ask(address_of(proxy.door.url), ("INCR", "n"), answer_seconds=0.2)
        proxy.door.heal()
        time.sleep(0.2)
    assert redis_server.client().get("n") is None, "the greeting was lost, and INCR never sent"
    with RedisProxy(redis_server.address) as proxy:
        address = address_of(proxy.door.url)
        client = connect(address, answer_seconds=0.2)
        greet(client, address)
        proxy.door.drop_replies()
        with pytest.raises(AuthorityUnreachable):
            asked(address, lambda: client.incr("n"))
        assert redis_server.client().get("n") == b"1"
        proxy.door.heal()
        assert asked(address, client.ping), "a connection that is gone is replaced"
        close(client)
    assert redis_server.client().get("n") == b"1"


def test_a_connection_that_its_server_closed_is_replaced_unseen(redis_server: RedisServer) -> None:
    address = address_of(redis_server.url)
    client = connect(address)
    assert asked(address, client.ping)
    redis_server.restart()
    assert asked(address, client.ping)
    close(client)


@pytest.mark.parametrize("loop", [False, True])
def test_a_hole_costs_no_more_than_the_timeouts(redis_server: RedisServer, loop: bool) -> None:
    redis_server.pause()
    began = time.monotonic()
    with pytest.raises(AuthorityUnreachable):
        (ask_in_a_loop if loop else ask_with_threads)(
            address_of(redis_server.url), answer_seconds=0.3
        )
    assert time.monotonic() - began < 1.0
    redis_server.resume()


@pytest.mark.parametrize(
    "url",
    ["redis://h", "unix:///s", "rediss://h", "redis+sentinel://h:1/s", "rediss+sentinel://h:1/s"],
)
def test_connections_are_made_without_a_bound(url: str) -> None:
    """One that was made is counted for ever, even one that came to nothing."""
    client = connect(address_of(url))
    for _ in range(300):
        client.connection_pool.make_connection()
    in_loop = connect_in_loop(address_of(url))
    assert in_loop.connection_pool.max_connections == client.connection_pool.max_connections
    close(client)


def test_a_client_of_scripts_outlives_hundreds_of_broken_connections(
    redis_server: RedisServer,
) -> None:
    scripts = scripts_on(Settings(redis_url=redis_server.url), "/volume", Files())
    call = CallScript("moved", state_key("x"), ())
    scripts.perform(call)
    for _ in range(120):
        redis_server.client().client_kill_filter(_type="normal", skipme=True)
        with suppress(AuthorityUnreachable):
            scripts.perform(call)
    assert scripts.perform(call)[0] == b"memory"
    scripts.close()


def deposed(server: RedisServer) -> None:
    server.client().execute_command("REPLICAOF", "127.0.0.1", str(free_port()))


def without_replicas(server: RedisServer) -> None:
    server.client().config_set("min-replicas-to-write", 1)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("happens", [deposed, without_replicas])
def test_a_connection_is_given_up_where_another_server_may_have_its_place(
    flavour: str, happens: Callable[[RedisServer], None]
) -> None:
    """A failover leaves connections to the old master open, and it answers."""
    if reason := missing_redis(flavour):
        pytest.skip(reason)
    with (
        RedisServer(flavour=flavour) as old,
        RedisServer(flavour=flavour) as new,
        RedisProxy(old.address) as proxy,
    ):
        scripts = scripts_on(Settings(redis_url=proxy.door.url), "/volume", Files())
        call = CallScript("report", state_key("x"), ("0", "", "s", "1", "counts"))
        assert scripts.perform(call)[0] == b"reported"
        happens(old)
        proxy.lead_to(new.address)
        with pytest.raises(AuthorityUnreachable):
            scripts.perform(call)
        assert scripts.perform(call)[0] == b"reported"
        scripts.close()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_no_replica_has_does_not_count_when_it_is_asked_for_again(flavour: str) -> None:
    """The second call finds what the first one left, writes nothing, and has a connection of its
    own."""
    if reason := missing_redis(flavour):
        pytest.skip(reason)
    with (
        RedisServer(flavour=flavour) as master,
        RedisServer(flavour=flavour, replica_of=master) as replica,
    ):
        master.wait_for_replicas(1)
        settings = Settings(redis_url=master.url, redis_replicas=1)
        scripts = scripts_on(settings, "/volume", Files())
        call = CallScript("found", state_key("x"), ("0", "nonce", "s", "1"))
        replica.pause()
        for _ in range(2):
            with pytest.raises(AuthorityUnreachable, match="0 of the 1 replicas"):
                scripts.perform(call)
        replica.resume()
        assert scripts.perform(call) == [b"exists", b"nonce"]
        scripts.close()


def test_without_redis_py_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(AuthorityUnsuitable, match=r"pip install 'volumelease\[redis\]'") as caught:
        connect(address_of("redis://h"))
    assert caught.value.__context__ is None


def test_importing_the_package_and_the_address_loads_no_redis() -> None:
    program = (
        "import sys, volumelease\n"
        "from volumelease.authorities.redis import addresses, connecting, troubles\n"
        "addresses.address_of('redis://h')\n"
        "print(sorted({'redis', 'asyncio', 'ssl', 'socket'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "[]"
