"""An address is read whole, or refused with what is wrong, and never shows a password."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from volumelease.authorities.redis.addresses import (
    FILE_SETTING,
    Password,
    RedisAddress,
    address_in,
    address_of,
)
from volumelease.errors import SettingsInvalid
from volumelease.settings import load

NOWHERE = Path("/nonexistent")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://one", RedisAddress("tcp", (("one", 6379),))),
        ("redis://one:7/3", RedisAddress("tcp", (("one", 7),), database=3)),
        ("redis://one?db=3", RedisAddress("tcp", (("one", 6379),), database=3)),
        ("redis://[::1]:7", RedisAddress("tcp", (("::1", 7),))),
        ("redis://:a%40b%2F@one", RedisAddress("tcp", (("one", 6379),), password=Password("a@b/"))),
        (
            "redis://bob:word@one",
            RedisAddress("tcp", (("one", 6379),), username="bob", password=Password("word")),
        ),
        ("rediss://one", RedisAddress("tcp", (("one", 6379),), tls=True)),
        (
            "rediss://one?ssl_ca_certs=/etc/hosts&ssl_check_hostname=False",
            RedisAddress(
                "tcp",
                (("one", 6379),),
                tls=True,
                tls_options=(("ssl_ca_certs", "/etc/hosts"), ("ssl_check_hostname", "false")),
            ),
        ),
        ("unix:///run/r.sock", RedisAddress("unix", path="/run/r.sock")),
        (
            "unix://:word@/run/r.sock?db=2",
            RedisAddress("unix", path="/run/r.sock", password=Password("word"), database=2),
        ),
        (
            "unix:///run/r.sock?username=bob&password=word",
            RedisAddress("unix", path="/run/r.sock", username="bob", password=Password("word")),
        ),
        (
            "redis+sentinel://user:pass%2Fword@one:26380,two/fleet/3",
            RedisAddress(
                "sentinel",
                (("one", 26380), ("two", 26379)),
                service="fleet",
                database=3,
                username="user",
                password=Password("pass/word"),
            ),
        ),
        (
            "rediss+sentinel://one/fleet?sentinel_password=other",
            RedisAddress(
                "sentinel",
                (("one", 26379),),
                service="fleet",
                tls=True,
                sentinel_password=Password("other"),
            ),
        ),
    ],
)
def test_an_address_is_read_as_it_is_written(url: str, address: RedisAddress) -> None:
    assert address_of(url) == address


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("hunter2", "must begin with redis://, rediss://"),
        ("http://:hunter2@h", "must begin with redis://"),
        ("redis://:hunter2", "host and port"),
        ("redis://hunter2:hunter2", "host and port"),
        ("redis://:hunter2@", "names no host"),
        ("redis://:hunter2@:6379", "names no host"),
        ("redis://h:0", "from 1 to 65535"),
        ("redis://h:65536", "from 1 to 65535"),
        ("redis://h/hunter2", "database must be a number"),
        ("redis://h/-1", "database must be a number"),
        ("redis://:hunter2/x@h", "where none can be"),
        ("redis://:hunter2@x@h", "where none can be"),
        ("redis://:hunter2?x@h", "where none can be"),
        ("redis://:hunter2#x@h", "where none can be"),
        ("redis://h#hunter2", "where none can be"),
        ("redis://h?passwort=hunter2", "parameter passwort is unknown"),
        ("redis://h?hunter2", "a parameter is unknown"),
        ("redis://h?ssl_ca_certs=/etc/hosts", "parameter ssl_ca_certs is unknown"),
        ("redis://h?sentinel_password=hunter2", "parameter sentinel_password is unknown"),
        ("rediss://h?ssl_ca_certs=/not/there", "ssl_ca_certs='/not/there' is not there"),
        ("rediss://h?ssl_cert_reqs=hunter2", "ssl_cert_reqs must be required or none"),
        ("redis://:hunter2\udcff@h", "no UTF-8"),
        (f"redis://:hunter2@{'h' * 64}", "a host that can't be one"),
        ("redis://:hunter2@h..h", "a host that can't be one"),
        ("redis://:hunter2@h h", "a host that can't be one"),
        ("redis://:hunter2@h\u00e4", "a host that can't be one"),
        ("redis://[::1", "host and port"),
        ("redis://[::1]hunter2", "host and port"),
        ("rediss://h?ssl_keyfile=/etc/hosts", "ssl_keyfile needs ssl_certfile"),
        ("unix://:hunter2@/a%00b", "has a NUL"),
        ("unix://relative/path", "must be absolute"),
        ("redis+sentinel://:hunter2@one,two", "name of the service is missing"),
        ("redis+sentinel://one,,two/fleet", "names no host"),
        ("redis+sentinel://one/fleet/hunter2", "database must be a number"),
    ],
)
def test_what_is_wrong_is_named_and_what_may_be_a_password_is_not(url: str, says: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        address_of(url)
    error = caught.value
    assert says in str(error)
    assert error.advice
    assert "VOLUMELEASE_REDIS_URL" in str(error)
    assert error.__context__ is None
    for shown in (str(error), repr(error), repr(error.facts), pickle.dumps(error).decode("latin1")):
        assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://bob:hunter2@one:7/3", "redis://one:7/3"),
        ("redis://hunter2@one", "redis://one:6379"),
        ("rediss://:hunter2@[::1]", "rediss://[::1]:6379"),
        ("unix://:hunter2@/run/r.sock?db=2", "unix:///run/r.sock?db=2"),
        ("redis+sentinel://:hunter2@a,b:7/fleet/2", "redis+sentinel://a:26379,b:7/fleet/2"),
        ("rediss+sentinel://a/f?sentinel_password=hunter2", "rediss+sentinel://a:26379/f"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    address = address_of(url)
    assert str(address) == shown
    for text in (repr(address), f"{address}", repr([address]), repr(address.password)):
        assert "hunter2" not in text


def test_a_name_is_shown_only_beside_a_password() -> None:
    """``redis://word@host`` is often meant as a password."""
    assert "hunter2" not in address_of("redis://hunter2@one").user
    assert "bob" in address_of("redis://bob:hunter2@one").user


def test_a_password_in_a_file_counts_when_a_connection_is_made(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("first\n")
    address = address_of("redis://bob@one", str(file))
    assert address.password.reveal() == "first"
    file.write_text("second")
    assert address.password.reveal() == "second"
    assert "second" not in repr(address.password)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"x" * 70_000])
def test_a_file_that_holds_no_password_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(SettingsInvalid, match=FILE_SETTING) as caught:
        address_of("redis://one", str(file))
    assert str(file) in str(caught.value)
    assert "lines" not in str(caught.value)


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsInvalid, match=FILE_SETTING):
        address_of("redis://one", str(tmp_path / name))


def test_two_passwords_are_one_too_many(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2")
    with pytest.raises(SettingsInvalid, match="names another") as caught:
        address_of("redis://:hunter3@one", str(file))
    assert "hunter" not in str(caught.value)


def test_the_environment_names_address_and_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("word")
    assert address_in(load({FILE_SETTING: str(file)}, init_environ=NOWHERE)) is None
    environ = {"VOLUMELEASE_REDIS_URL": "redis://one", FILE_SETTING: str(file)}
    address = address_in(load(environ, init_environ=NOWHERE))
    assert address is not None
    assert address.password.reveal() == "word"
