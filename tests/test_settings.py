"""Configuration is read in one place, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from volumelease import settings as module
from volumelease.errors import SettingsInvalid
from volumelease.settings import Settings, load

NOWHERE = Path("/nonexistent")


def test_nothing_set_gives_the_defaults() -> None:
    assert load({}, init_environ=NOWHERE) == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "volumelease.toml"
    config.write_text('ttl = 30\nscope = "volume"\n')
    found = load({"VOLUMELEASE_TTL": "5"}, config=config, init_environ=NOWHERE)
    assert (found.ttl, found.scope) == (5.0, "volume")


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    config = tmp_path / "volumelease.toml"
    config.write_text("ttl = 30\n")
    environ = {"VOLUMELEASE_CONFIG": str(config)}
    assert load(environ, init_environ=NOWHERE).ttl == 30.0
    config.unlink()
    with pytest.raises(SettingsInvalid, match=r"unset VOLUMELEASE_CONFIG \(--config\)"):
        load(environ, init_environ=NOWHERE)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("VOLUMELEASE_TTL", "1", "at least 2"),
        ("VOLUMELEASE_TTL", "nan", "at least 2"),
        ("VOLUMELEASE_TTL", "soon", "at least 2"),
        ("VOLUMELEASE_SCOPE", "all", "path, volume"),
        ("VOLUMELEASE_AUTHORITY", "etcd", "auto, volume, redis"),
        ("VOLUMELEASE_HTTP", "9109", "HOST:PORT"),
        ("VOLUMELEASE_HTTP", "x:99999", "HOST:PORT"),
        ("VOLUMELEASE_VOLUME", "", "not empty"),
        ("VOLUMELEASE_LOG", "loud", "debug"),
        ("VOLUMELEASE_TLT", "5", "Did you mean ttl"),
    ],
)
def test_a_mistake_names_the_setting_the_value_and_what_is_allowed(
    name: str, value: str, says: str
) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load({name: value}, init_environ=NOWHERE)
    assert name in str(caught.value)
    assert says in str(caught.value)


def test_an_unknown_key_of_the_file_is_a_mistake(tmp_path: Path) -> None:
    config = tmp_path / "volumelease.toml"
    config.write_text("tll = 3\n")
    with pytest.raises(SettingsInvalid, match="Did you mean ttl"):
        load({}, config=config, init_environ=NOWHERE)


def test_a_password_is_never_shown() -> None:
    settings = load({"VOLUMELEASE_REDIS_URL": "redis://:hunter2@h:1"}, init_environ=NOWHERE)
    assert settings.redis_url == "redis://:hunter2@h:1"
    assert "hunter2" not in repr(settings)
    for wrong in ("http://:hunter2@h:1", "redis:hunter2@h:1", "hunter2"):
        with pytest.raises(SettingsInvalid) as caught:
            load({"VOLUMELEASE_REDIS_URL": wrong}, init_environ=NOWHERE)
        assert "hunter2" not in str(caught.value)
        assert "hunter2" not in repr(caught.value.__reduce__())


def test_the_worker_is_known_from_the_platform_and_from_pid_1(tmp_path: Path) -> None:
    init = tmp_path / "environ"
    init.write_bytes(b"RUNPOD_POD_ID=pod\0RUNPOD_ENDPOINT_ID=ep\0RUNPOD_API_KEY=secret\0")
    found = load({"RUNPOD_ENDPOINT_ID": "mine"}, init_environ=init)
    assert (found.worker, found.endpoint) == ("pod", "mine")
    assert "secret" not in repr(found)


def test_what_hold_gives_its_command_is_no_setting() -> None:
    load({"VOLUMELEASE_TOKEN": "7", "VOLUMELEASE_PATHS": "/a"}, init_environ=NOWHERE)


@pytest.mark.parametrize(
    ("value", "roots"),
    [
        ("./models", ("models",)),
        ("models/./cache/.", ("models/cache",)),
        ("/./models/, cache", ("models", "cache")),
        (".", (".",)),
        ("./", (".",)),
        ("./.,models", (".", "models")),
        (".cache", (".cache",)),
    ],
)
def test_a_root_is_told_by_the_name_that_leases_have(value: str, roots: tuple[str, ...]) -> None:
    assert load({"VOLUMELEASE_ROOTS": value}, init_environ=NOWHERE).roots == roots


@pytest.mark.parametrize("value", ["models,./models", "../models", "./..", ".//models", "/", ""])
def test_dots_make_no_root_of_what_is_none(value: str) -> None:
    with pytest.raises(SettingsInvalid, match="VOLUMELEASE_ROOTS"):
        load({"VOLUMELEASE_ROOTS": value}, init_environ=NOWHERE)


def links(service: str, protocol: str = "TCP") -> dict[str, str]:
    """What Kubernetes adds to the environment for a Service of that name, with one port."""
    stem = service.upper().replace("-", "_")
    port, address = f"{stem}_PORT_9110_{protocol}", f"{protocol.lower()}://10.96.0.7:9110"
    return {
        f"{stem}_SERVICE_HOST": "10.96.0.7",
        f"{stem}_SERVICE_PORT": "9110",
        f"{stem}_SERVICE_PORT_METRICS": "9110",
        f"{stem}_PORT": address,
        port: address,
        f"{port}_PROTO": protocol.lower(),
        f"{port}_PORT": "9110",
        f"{port}_ADDR": "10.96.0.7",
    }


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
@pytest.mark.parametrize(
    "service", ["volumelease", "volumelease-exporter", "volumelease-http", "volumelease-2-x"]
)
def test_links_to_a_service_of_ours_are_no_settings(service: str, protocol: str) -> None:
    environ = {"VOLUMELEASE_TTL": "5", **links(service, protocol)}
    assert load(environ, init_environ=NOWHERE) == Settings(ttl=5.0)


def test_no_setting_has_the_name_of_a_link() -> None:
    for name in [*module._CHECKS, *module._PASSED_TO_CHILDREN]:
        for value in ("", "1", "tcp://10.96.0.7:9110"):
            assert not module._is_service_link(f"VOLUMELEASE_{name.upper()}", value), name


@pytest.mark.parametrize(
    "name",
    [
        "VOLUMELEASE_HTTP_PORT",  # of a link it would be an address
        "VOLUMELEASE_PORT",
        "VOLUMELEASE_SERVICE",
        "VOLUMELEASE_PORT_9110",
        "VOLUMELEASE_PORT_9110_HTTP",
        "VOLUMELEASE_REDIS_HOST",
        "VOLUMELEASE_SERVICE_HOSTS",
    ],
)
def test_what_only_resembles_a_link_is_still_a_mistake(name: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"unknown setting {name}"):
        load({name: "9110"}, init_environ=NOWHERE)
