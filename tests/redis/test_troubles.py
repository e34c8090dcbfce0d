"""Whatever is wrong with a Redis is one clear error of ours, which tells no password."""

from __future__ import annotations

import pickle
import socket
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

from tests.bed.redis import FLAVOURS, RedisServer, free_port, missing_redis
from tests.bed.redis_proxy import RedisProxy
from tests.bed.redis_sentinel import SERVICE, RedisFleet, Sentinel
from tests.bed.redis_tls import Certificates, make_certificates, missing_openssl
from volumelease.authorities.redis.addresses import address_of
from volumelease.errors import AuthorityUnreachable, AuthorityUnsuitable, LeaseError

from .asking import Ask
from .liar import Liar

pytestmark = pytest.mark.usefixtures("needs_redis")

SECRET: Final = "hunter2"
WRITE: Final = ("SET", "{volumelease:x}:a", "b")
SCRIPT: Final = ("EVAL", "return redis.call('SET', KEYS[1], 'b')", 1, "{volumelease:x}:a")
READ: Final = ("GET", "{volumelease:x}:a")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if reason := missing_openssl():
        pytest.skip(reason)
    return make_certificates(tmp_path_factory.mktemp("tls"), "DNS:elsewhere.example")


@contextmanager
def server_of(flavour: str = "redis", **options: Any) -> Iterator[RedisServer]:
    if reason := missing_redis(flavour):
        pytest.skip(reason)
    with RedisServer(flavour=flavour, **options) as server:
        yield server


def trouble(ask: Ask, url: str, *commands: tuple[Any, ...], **options: Any) -> LeaseError:
    """What came of it; nothing of it may tell the secret."""
    with pytest.raises((AuthorityUnreachable, AuthorityUnsuitable)) as caught:
        ask(address_of(url), *commands, **options)
    error: LeaseError = caught.value
    address = address_of(url)
    assert str(address) in error.what
    assert error.facts["redis"] == str(address)
    assert error.advice
    assert error.__cause__ is None
    assert error.__context__ is None
    for shown in (str(error), repr(error), repr(error.facts), pickle.dumps(error).decode("latin1")):
        assert SECRET not in shown
    shown = "".join(traceback.format_exception(error))
    assert SECRET not in shown
    assert "redis/connection.py" not in shown, "frames of redis-py hold credentials"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        assert SECRET not in variables_of(frame)
    return error


def variables_of(frame: FrameType) -> str:
    """What a tool that shows variables would; for the code of ours alone."""
    mine = "/src/volumelease/" in frame.f_code.co_filename
    return repr(frame.f_locals) if mine else ""


# ---- who asks


def test_a_wrong_password(ask: Ask) -> None:
    with server_of(password="right", users=["bob on >right ~* &* +@all"]) as server:
        for who, says in ((f":{SECRET}", "the default user"), (f"bob:{SECRET}", "user 'bob'")):
            error = trouble(ask, f"redis://{who}@127.0.0.1:{server.port}")
            assert isinstance(error, AuthorityUnsuitable)
            assert error.facts["code"] == "WRONGPASS"
            assert f"refuses the password of {says}" in error.what
            assert "VOLUMELEASE_REDIS_PASSWORD_FILE" in error.advice


def test_a_password_in_the_place_of_the_name(ask: Ask) -> None:
    with server_of(password="right") as server:
        error = trouble(ask, f"redis://{SECRET}@127.0.0.1:{server.port}")
        assert error.facts["code"] == "WRONGPASS"


def test_no_password_where_one_is_asked_for(ask: Ask) -> None:
    with server_of(password="right") as server:
        error = trouble(ask, f"redis://127.0.0.1:{server.port}")
        assert error.facts["code"] == "NOAUTH"
        assert "asks for a password" in error.what


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_password_where_none_is_set(flavour: str, ask: Ask) -> None:
    with server_of(flavour) as server:
        error = trouble(ask, f"redis://:{SECRET}@127.0.0.1:{server.port}")
        assert error.facts["code"] == "NOPASSWORD"


def test_a_server_that_repeats_the_password(ask: Ask) -> None:
    words = f"-ERR unknown command 'AUTH', with args beginning with: '{SECRET}'\r\n"
    with Liar(words.encode()) as liar:
        error = trouble(ask, f"redis://:{SECRET}@127.0.0.1:{liar.port}")
        assert "(hidden)" in error.what


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_user_without_permission(flavour: str, ask: Ask) -> None:
    users = [
        f"keys on >{SECRET} ~other:* +@all",
        f"commands on >{SECRET} ~* +@read",
        f"scripts on >{SECRET} ~* +@scripting",
    ]
    with server_of(flavour, users=users) as server:
        for user, command in (("keys", WRITE), ("keys", SCRIPT), ("commands", SCRIPT)):
            url = f"redis://{user}:{SECRET}@127.0.0.1:{server.port}"
            error = trouble(ask, url, command)
            assert isinstance(error, AuthorityUnsuitable)
            assert error.facts["code"] == "NOPERM"
            assert f"user '{user}'" in error.what
            assert "ACL SETUSER NAME ~{volumelease:*" in error.advice
        url = f"redis://scripts:{SECRET}@127.0.0.1:{server.port}"
        assert trouble(ask, url, SCRIPT).facts["code"] == "NOPERM", "inside of a script"


def test_a_permission_as_advised_is_enough(ask: Ask) -> None:
    from volumelease.authorities.redis.troubles import PERMISSIONS

    with server_of(users=[f"bob on >{SECRET} {PERMISSIONS}"]) as server:
        url = f"redis://bob:{SECRET}@127.0.0.1:{server.port}"
        ask(address_of(url), WRITE, SCRIPT, ("PUBLISH", "volumelease:{x}:bell", "a"))


# ---- what it is


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_read_only_replica(flavour: str, ask: Ask) -> None:
    with server_of(flavour) as master, server_of(flavour, replica_of=master) as replica:
        master.wait_for_replicas(1)
        error = trouble(ask, replica.url)
        assert (type(error), error.facts["code"]) == (AuthorityUnsuitable, "READONLY")
        assert "redis+sentinel://" in error.advice


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("command", [WRITE, SCRIPT], ids=["write", "script"])
def test_a_master_that_becomes_a_replica_after_the_greeting(
    flavour: str, command: tuple[Any, ...], ask: Ask
) -> None:
    with server_of(flavour) as server:
        demote = ("REPLICAOF", "127.0.0.1", str(free_port()))
        error = trouble(ask, server.url, demote, command)
        assert (type(error), error.facts["code"]) == (AuthorityUnreachable, "READONLY")


def test_a_replica_that_lost_its_master(ask: Ask) -> None:
    more = ["replica-serve-stale-data no"]
    with server_of(more=more) as server:
        demote = ("REPLICAOF", "127.0.0.1", str(free_port()))
        for command in (READ, SCRIPT):
            error = trouble(ask, server.url, demote, command)
            assert (type(error), error.facts["code"]) == (AuthorityUnreachable, "MASTERDOWN")
            server.client().execute_command("REPLICAOF", "NO", "ONE")


def test_a_server_that_loads_its_data(ask: Ask) -> None:
    with server_of(aof=True, more=["key-load-delay 100"]) as server:
        pipe = server.client().pipeline(transaction=False)
        for number in range(20_000):  # it listens to others after each 1,024
            pipe.set(f"key{number}", "")
        pipe.execute()
        server.restart()
        error = trouble(ask, server.url, READ)
        assert (type(error), error.facts["code"]) == (AuthorityUnreachable, "LOADING")


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("command", [WRITE, SCRIPT], ids=["write", "script"])
def test_a_server_whose_memory_is_full(flavour: str, command: tuple[Any, ...], ask: Ask) -> None:
    with server_of(flavour, more=["maxmemory 1"]) as server:
        error = trouble(ask, server.url, command)
        assert (type(error), error.facts["code"]) == (AuthorityUnsuitable, "OOM")
        assert "maxmemory" in error.what


def test_a_server_of_version_5(ask: Ask) -> None:
    with server_of(password=SECRET) as server, RedisProxy(server.address) as proxy:
        proxy.door.speak_as_version_5()
        error = trouble(ask, proxy.door.url.replace("redis://", f"redis://:{SECRET}@"))
        assert (type(error), error.facts["code"]) == (AuthorityUnsuitable, "VERSION")
        assert "at least 6.2" in error.what


def test_a_version_that_is_told_is_named() -> None:
    from volumelease.authorities.redis.connecting import greeting, unfit

    hello = [b"server", b"redis", b"version", b"6.0.16", b"mode", b"standalone", b"role", b"master"]
    problem = unfit(greeting(hello), address_of("redis://h"))
    assert problem is not None
    assert "is Redis 6.0.16" in problem.what
    for other in (b"6.2.0", b"7.4.0", b"8.0", b"255.255.255", b"unstable", b""):
        hello[3] = other
        assert unfit(greeting(hello), address_of("redis://h")) is None


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_server_without_scripts(flavour: str, ask: Ask) -> None:
    more = ['rename-command EVAL ""', 'rename-command EVALSHA ""', 'rename-command SCRIPT ""']
    with server_of(flavour, more=more) as server:
        for command in (SCRIPT, ("EVALSHA", "0" * 40, 0), ("SCRIPT", "LOAD", "return 1")):
            error = trouble(ask, server.url, command)
            assert (type(error), error.facts["code"]) == (AuthorityUnsuitable, "NOSCRIPTING")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_node_of_a_cluster(flavour: str, ask: Ask) -> None:
    with server_of(flavour, more=["cluster-enabled yes"]) as server:
        error = trouble(ask, server.url)
        assert (type(error), error.facts["code"]) == (AuthorityUnsuitable, "CLUSTER")


def test_a_sentinel_in_the_place_of_a_redis(ask: Ask) -> None:
    with RedisFleet(replicas=0) as fleet:
        error = trouble(ask, fleet.sentinels[0].url)
        assert (type(error), error.facts["code"]) == (AuthorityUnsuitable, "SENTINEL")
        assert f"redis+sentinel://127.0.0.1:{fleet.sentinels[0].port}/SERVICE" in error.advice
        wrong = fleet.url.replace("/fleet/", "/float/")
        error = trouble(ask, wrong)
        assert (type(error), error.facts["code"]) == (AuthorityUnreachable, "NOMASTER")


def test_sentinels_with_a_password_of_their_own(ask: Ask) -> None:
    with server_of(password="word") as master:
        sentinel = Sentinel(master.port, 700, "word")
        sentinel.configuration += f"requirepass {SECRET}-right\n"
        with sentinel:
            url = f"redis+sentinel://:word@127.0.0.1:{sentinel.port}/{SERVICE}"
            for given in ("", f"?sentinel_password={SECRET}"):
                error = trouble(ask, url + given)
                assert (type(error), error.facts["code"]) == (AuthorityUnsuitable, "SENTINELAUTH")
                assert "sentinel_password" in error.advice
            assert ask(address_of(f"{url}?sentinel_password={SECRET}-right"), ("PING",))


def test_sentinels_that_are_not_there(ask: Ask) -> None:
    url = f"redis+sentinel://:{SECRET}@127.0.0.1:{free_port()},127.0.0.1:{free_port()}/fleet"
    error = trouble(ask, url)
    assert (type(error), error.facts["code"]) == (AuthorityUnreachable, "NOMASTER")


def test_a_server_that_misses_its_replicas(ask: Ask) -> None:
    with server_of(more=["min-replicas-to-write 1"]) as server:
        error = trouble(ask, server.url, SCRIPT)
        assert (type(error), error.facts["code"]) == (AuthorityUnreachable, "NOREPLICAS")


def test_a_database_that_is_not_there(ask: Ask) -> None:
    with server_of() as server:
        error = trouble(ask, server.url.replace("/0", "/99"))
        assert (type(error), error.facts["code"]) == (AuthorityUnsuitable, "DATABASE")
        assert "no database 99" in error.what


def test_a_server_that_takes_no_more_clients(ask: Ask) -> None:
    with server_of(more=["maxclients 1"]) as server:
        server.wait_until_answers()  # with a connection that stays
        error = trouble(ask, server.url)
        assert (type(error), error.facts["code"]) == (AuthorityUnreachable, "MAXCLIENTS")


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        ("MOVED 3999 127.0.0.1:6381", "CLUSTER", AuthorityUnsuitable),
        ("ASK 3999 127.0.0.1:6381", "CLUSTER", AuthorityUnsuitable),
        ("CROSSSLOT Keys in request don't hash to the same slot", "CLUSTER", AuthorityUnsuitable),
        ("CLUSTERDOWN Hash slot not served", "CLUSTER", AuthorityUnsuitable),
        ("BUSY Redis is busy running a script.", "BUSY", AuthorityUnreachable),
        ("MISCONF Redis is configured to save RDB snapshots", "MISCONF", AuthorityUnsuitable),
        ("DENIED Redis is running in protected mode because", "DENIED", AuthorityUnsuitable),
        ("ERR max number of clients reached", "MAXCLIENTS", AuthorityUnreachable),
        ("LOADING Redis is loading the dataset in memory", "LOADING", AuthorityUnreachable),
        ("ERR something nobody thought of", "OTHER", AuthorityUnsuitable),
    ],
)
def test_what_only_a_liar_says(words: str, code: str, kind: type, ask: Ask) -> None:
    with Liar(f"-{words}\r\n".encode()) as liar:
        error = trouble(ask, f"redis://127.0.0.1:{liar.port}")
        assert (type(error), error.facts["code"]) == (kind, code)


# ---- the way to it


@pytest.mark.parametrize(
    "words",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"+OK\r\n",
        b":7\r\n",
        b"$-1\r\n",
        b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        b"*3\r\n*0\r\n*0\r\n*0\r\n",
    ],
)
def test_something_else_than_a_redis(words: bytes, ask: Ask) -> None:
    with Liar(words) as liar:
        error = trouble(ask, f"redis://127.0.0.1:{liar.port}")
        assert error.facts["code"] == "PROTOCOL"
        assert "does not speak the protocol" in error.what


def test_nobody_there(ask: Ask, tmp_path: Path) -> None:
    for url, says in (
        (f"redis://127.0.0.1:{free_port()}", "nobody listens there"),
        (f"rediss://127.0.0.1:{free_port()}", "nobody listens there"),
        ("redis://no-such-host.invalid", "a host that nobody knows"),
        (f"unix://{tmp_path}/socket", "no socket there"),
    ):
        error = trouble(ask, url)
        assert isinstance(error, AuthorityUnreachable)
        assert says in error.what, url


def test_a_socket_that_nobody_serves(ask: Ask, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{tmp_path}/socket")
    assert "nobody listens" in trouble(ask, f"unix://{tmp_path}/socket").what


def test_silence(ask: Ask) -> None:
    with Liar(b"") as hole:
        for scheme in ("redis", "rediss"):
            error = trouble(ask, f"{scheme}://127.0.0.1:{hole.port}", answer_seconds=0.2)
            assert isinstance(error, AuthorityUnreachable)
            assert "did not answer in time" in error.what, scheme


def test_tls_that_does_not_come_about(certificates: Certificates, ask: Ask) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(server_of(tls=certificates))
        ca, stranger = f"ssl_ca_certs={certificates.ca}", f"ssl_ca_certs={certificates.stranger}"
        at = f"rediss://127.0.0.1:{server.tls_port}"
        for url, says in (
            (at, "certificate verify failed"),
            (f"{at}?{stranger}", "certificate verify failed"),
            (f"{at}?{ca}", "127.0.0.1"),
        ):
            error = trouble(ask, url)
            assert "over TLS" in error.what, url
            assert says in error.what, url
            assert "ssl_ca_certs" in error.advice
        assert ask(address_of(f"{at}?{ca}&ssl_check_hostname=false"), ("PING",))
        error = trouble(ask, f"redis://127.0.0.1:{server.tls_port}")
        assert "rediss://" in error.advice
        error = trouble(ask, f"rediss://127.0.0.1:{server.port}?{ca}")
        assert "redis:// is without" in error.advice


def test_a_bug_of_ours_is_not_taken_for_trouble(redis_server: RedisServer, ask: Ask) -> None:
    with pytest.raises((TypeError, IndexError)):
        ask(address_of(redis_server.url), ())
