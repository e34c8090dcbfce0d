"""``volumelease completion``: a script for each shell, and what it is answered."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from .shell import ROOT, environment, error_of, run

ASK = "_VOLUMELEASE_COMPLETE"


def completed(words: str) -> list[str]:
    """What bash is answered for the last of these words, as (kind, value)."""
    env = {ASK: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    result = run(env=env)
    assert result.stderr == ""
    return result.stdout.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    result = run("completion", shell)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{shell}_complete" in result.stdout
    assert "volumelease" in result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here: apt-get install {shell}")
    script = run("completion", shell).stdout
    result = subprocess.run([shell, "-n"], input=script, text=True, check=False, timeout=20)
    assert result.returncode == 0


def test_commands_options_and_paths_are_completed() -> None:
    assert completed("volumelease ver") == ["plain,verify"]
    assert completed("volumelease break --to") == ["plain,--token"]
    assert completed("volumelease status /some/wh") == ["file,/some/wh"]
    for command in ("history", "break", "verify", "doctor", "init", "uninstall", "hold"):
        assert completed(f"volumelease {command} x") == ["file,x"], command


def test_in_a_real_bash_the_tab_key_completes(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here: apt-get install bash")
    script = tmp_path / "script"
    script.write_text(run("completion", "bash").stdout)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "volumelease").write_text(
        f'#!/bin/sh\nexec {shutil.which("python3")} -m volumelease "$@"\n'
        if not (ROOT / ".venv/bin/volumelease").exists()
        else f'#!/bin/sh\nexec {ROOT}/.venv/bin/volumelease "$@"\n'
    )
    (folder / "volumelease").chmod(0o755)
    ask = (
        f"source {script}; COMP_WORDS=(volumelease hist); COMP_CWORD=1; "
        "_volumelease_completion volumelease hist volumelease; echo ${COMPREPLY[@]}"
    )
    env = {**environment(), "PATH": f"{folder}:/usr/bin:/bin"}
    result = subprocess.run(
        [bash, "-c", ask], env=env, capture_output=True, text=True, check=False, timeout=20
    )
    assert result.stdout.strip() == "history", result.stderr


def test_another_shell_is_wrong_usage() -> None:
    result = run("completion", "csh")
    assert result.returncode == 2
    error_of(result)
