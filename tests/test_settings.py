"""Configuration is read in one place, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

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
