"""The program as a whole: usage, errors, exit codes, and what it costs to start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import volumelease

from .shell import ROOT, command_line, environment, error_of, run

COMMANDS = [
    *("demo", "init", "uninstall", "hold", "status", "history", "break", "doctor", "verify"),
    *("migrate", "completion"),
]


def test_the_version_is_one_line() -> None:
    result = run("--version")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"volumelease {volumelease.__version__}\n"


def test_help_names_every_command_and_the_limit() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert all(f"\n  {name} " in result.stdout for name in COMMANDS)
    assert "Limit:" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    result = run(name, "-h")
    assert result.returncode == 0
    assert result.stdout.startswith(f"Usage: volumelease {name} ")


def test_no_command_shows_the_help_and_is_wrong_usage() -> None:
    result = run()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: volumelease ")


def test_a_file_of_settings_serves_the_command_and_what_it_starts(tmp_path: Path) -> None:
    config = tmp_path / "volumelease.toml"
    config.write_text("ttl = 7\n")
    root = tmp_path / "volume"
    root.mkdir()
    assert run("--config", config, "init", root).returncode == 0
    other = tmp_path / "other.toml"
    other.write_text("ttl = 8\n")
    refused = run(f"--config={other}", "hold", root / "a", "--", "true")
    assert "VOLUMELEASE_TTL is 8 s here" in " ".join(error_of(refused))
    show = ("sh", "-c", "echo $VOLUMELEASE_CONFIG")
    held = run("--config", "volumelease.toml", "hold", root / "a", "--", *show, cwd=tmp_path)
    assert held.stdout == f"{config}\n"


@pytest.mark.parametrize("text", ["tlt = 7", "ttl = 'soon'", "ttl ="])
def test_a_wrong_file_of_settings_is_named(tmp_path: Path, text: str) -> None:
    config = tmp_path / "volumelease.toml"
    config.write_text(text)
    result = run("--config", config, "status", tmp_path)
    assert result.returncode != 0
    assert str(config) in " ".join(error_of(result))


def test_an_unknown_command_is_wrong_usage() -> None:
    result = run("frobnicate")
    assert result.returncode == 2
    what, advice = error_of(result)
    assert "frobnicate" in what
    assert advice == "volumelease --help"


def test_a_bad_setting_is_an_error_that_names_it(volume: Path) -> None:
    result = run("hold", volume / "a", "--", "true", env={"VOLUMELEASE_TTL": "soon"})
    assert result.returncode == 1
    assert "VOLUMELEASE_TTL" in error_of(result)[0]
    result = run("hold", volume / "a", "--", "true", env={"VOLUMELEASE_TTL": "30"})
    assert result.returncode == 1
    assert "30" in error_of(result)[0]


def test_names_from_a_volume_can_not_move_the_cursor(volume: Path) -> None:
    evil = volume / "a\x1b[2J\rb"
    result = run("status", evil)
    assert result.returncode == 0
    result = run("hold", volume / ".volumelease/\x1b[2Jx", "--", "true")
    assert "\x1b" not in result.stderr
    error_of(result)


def test_a_reader_that_goes_away_is_no_error(volume: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        result = subprocess.run(
            command_line("status", volume),
            env=environment(),
            stdout=nobody,
            stderr=subprocess.PIPE,
            timeout=20,
            check=False,
        )
    assert (result.returncode, result.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [["status"], ["hold", "a", "--", "true"]], ids=lambda a: a[0])
def test_plain_output_loads_nothing_for_terminals(volume: Path, arguments: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "volumelease", *arguments],
        cwd=volume,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 0
    assert "volumelease.leases.lease" in result.stderr, "it shows what each process imports"
    assert "rich" not in result.stderr


def test_the_package_runs_as_a_module_from_anywhere(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).returncode == 0
    assert (ROOT / "src/volumelease/__main__.py").exists()
