"""A clean install does what a newcomer tries first, whoever runs it and wherever."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import volumelease

from .building import NOBODY, Built, Environment, bare, make_environment, pythons
from .first_lease import run as clone_and_lease

VERSION: Final = f"volumelease {volumelease.__version__}\n"
LEASE: Final = """
import sys
from volumelease import volume_lease
with volume_lease(sys.argv[1] + "/models") as lease:
    print(lease.token > 0)
"""
ENDS: Final = """
import os, signal, subprocess, sys, tempfile, time
from volumelease.client.connecting import connect
with tempfile.TemporaryDirectory() as folder:
    path = folder + "/daemon.sock"
    set_here = {"VOLUMELEASE_SOCKET": path, "VOLUMELEASE_VOLUME": sys.argv[1]}
    daemon = subprocess.Popen(
        [sys.executable, "-m", "volumelease", "daemon"], env={**os.environ, **set_here}
    )
    line = connect(path, events=False, seconds=30.0)
    line.ask("acquire", {"paths": [sys.argv[1] + "/models"]})
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0, "it waits for its client"
    line.close()
"""
"""The daemon starts, serves and ends, though a client is connected that holds a lease. Its ttl is 2
seconds: then the path is free."""

pytestmark = pytest.mark.timeout(600)  # whichever test is first waits for the install
EXTRAS: Final = ("redis", "metrics", "watch", "platform")


@pytest.fixture
def volume(open_folder: Path) -> Iterator[Path]:
    """A directory that anybody may write; not a volume yet."""
    folder = Path(tempfile.mkdtemp(prefix="volume-", dir=open_folder))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def tries(environment: Environment, volume: Path, *prefix: str) -> None:
    """Version, first volume, first lease from the shell and from Python, with nothing set."""
    program = [*prefix, str(environment.program)]
    steps = [
        [*program, "--version"],
        [*program, "init", str(volume), "--ttl", "2"],
        [*program, "hold", str(volume / "models"), "--", "true"],
        [*program, "status", str(volume)],
        [*prefix, str(environment.python), "-c", ENDS, str(volume)],
        [*prefix, str(environment.python), "-c", LEASE, str(volume)],
    ]
    said = []
    for step in steps:
        result = bare(step)
        assert result.returncode == 0, f"{step}\n{result.stdout}{result.stderr}"
        said.append(result.stdout)
    assert said[0] == VERSION
    assert said[-1] == "True\n"


def test_it_works_with_no_extras_no_home_and_no_settings(
    installed: Environment, volume: Path
) -> None:
    tries(installed, volume)
    result = bare([installed.python, "-m", "volumelease", "--version"])
    assert (result.returncode, result.stdout, result.stderr) == (0, VERSION, "")
    assert installed.pip("check").returncode == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_completes_commands(installed: Environment, shell: str) -> None:
    result = bare([installed.program, "completion", shell])
    assert result.returncode == 0, result.stderr
    assert "_VOLUMELEASE_COMPLETE" in result.stdout
    if shell == "bash":
        words = {"COMP_WORDS": "volumelease stat", "COMP_CWORD": "1"}
        offered = bare([installed.program], _VOLUMELEASE_COMPLETE="bash_complete", **words)
        assert "status" in offered.stdout


@pytest.mark.parametrize(
    ("command", "extra"), [(["exporter"], "metrics"), (["doctor", "--redis"], "redis")]
)
def test_what_needs_an_extra_says_which(
    installed: Environment, volume: Path, command: list[str], extra: str
) -> None:
    bare([installed.program, "init", volume, "--ttl", "2"])
    words = [*command, str(volume)] if command == ["exporter"] else command
    result = bare([installed.program, *words], VOLUMELEASE_REDIS_URL="redis://127.0.0.1:1/0")
    assert result.returncode == 1
    assert f"volumelease[{extra}" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


USER: Final = """
import asyncio
from pathlib import Path
from typing import assert_type

from volumelease import Lease, LeaseTimeout, populate, volume_lease
from volumelease.testing import ManualClock, MemoryVolume


@volume_lease("/v/a", timeout=5, reason="why")
def work(number: int) -> str:
    return str(number)


@volume_lease("/v/a")
async def later(number: int) -> str:
    return str(number)


def fetch(draft: Path) -> None:
    draft.mkdir()


def main() -> int:
    with volume_lease("/v/a", Path("/v/b"), shared=True, on_lost="ignore") as lease:
        assert_type(lease, Lease)
        assert_type(lease.token, int)
        assert_type(lease.paths, tuple[str, ...])
        assert_type(lease.lost, bool)
        with lease.stage() as draft:
            assert_type(draft, Path)
    try:
        assert_type(work(1), str)
    except LeaseTimeout as error:
        print(error.what, error.advice)
    assert_type(asyncio.run(later(1)), str)
    assert_type(populate("/v/m", fetch), Path)
    with MemoryVolume(clock=ManualClock()) as volume:
        print(volume.leases)
    work("no number")  # type: ignore[arg-type]
    volume_lease("/v/a", on_lost="explode")  # type: ignore[arg-type]
    lease.tokn  # type: ignore[attr-defined]
    return 0


async def tasks() -> None:
    async with volume_lease("/v/a") as lease, lease.lend():
        await lease.downgrade()
"""


def test_a_users_program_is_checked_against_the_installed_types(
    installed: Environment, tmp_path: Path
) -> None:
    """An ignore that is not needed is an error under --strict, so wrong use has to be seen."""
    program = tmp_path / "user.py"
    program.write_text(USER)
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    result = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--python-executable", installed.python, program],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "MYPYPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def usable_by_nobody(python: Path) -> bool:
    command = ["setpriv", *AS_NOBODY, str(python), "-I", "-c", ""]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


AS_NOBODY: Final = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


@pytest.fixture(scope="module")
def for_nobody(installed: Environment, built: Built, open_folder: Path) -> Environment:
    """An install whose Python another user may run too."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to become somebody else, and setpriv (apt-get install util-linux)")
    if usable_by_nobody(installed.python):
        return installed
    for python in pythons().values():
        if usable_by_nobody(python):
            environment = make_environment(open_folder / "nobody", python)
            environment.install(str(built.wheel))
            return environment
    pytest.skip("every Python here is root's own: apt-get install python3-venv")


@pytest.mark.torture
def test_it_works_as_a_user_without_a_name(for_nobody: Environment, volume: Path) -> None:
    tries(for_nobody, volume, "setpriv", *AS_NOBODY)


READ_ONLY: Final = """
set -e
mount --make-rprivate /
mount -t tmpfs none "$1"
mount -o remount,bind,ro /
shift
exec "$@"
"""
"""In a mount namespace of its own, where the flag concerns nobody else."""


@pytest.mark.torture
def test_it_works_where_only_the_volume_can_be_written(
    installed: Environment, volume: Path, open_folder: Path
) -> None:
    inside = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", str(volume)]
    probe = bare([*inside, "sh", "-c", f"! touch {open_folder}/x 2>/dev/null && touch {volume}/x"])
    if probe.returncode != 0:
        pytest.skip(f"no read-only root can be made here (it takes root): {probe.stderr.strip()}")
    script = " && ".join(
        [
            f"{installed.program} init {volume} --ttl 2",
            f"{installed.program} hold {volume}/models -- true",
            f"{installed.python} -c '{LEASE}' {volume}",
            f"{installed.program} doctor {volume}",
        ]
    )
    result = bare([*inside, "sh", "-c", script])
    assert result.returncode == 0, result.stdout + result.stderr
    assert "True\n" in result.stdout


@pytest.mark.torture
@pytest.mark.parametrize("extra", [*EXTRAS, ",".join(EXTRAS)])
def test_it_installs_with_extras(built: Built, tmp_path: Path, volume: Path, extra: str) -> None:
    environment = make_environment(tmp_path / "env")
    environment.install(f"{built.wheel}[{extra}]")
    assert environment.pip("check").returncode == 0
    tries(environment, volume)


@pytest.mark.torture
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14", "3.15"])
def test_it_installs_on_each_python(
    built: Built, tmp_path: Path, volume: Path, version: str
) -> None:
    python = pythons().get(version)
    if python is None:
        pytest.skip(f"no Python {version} here: pyenv install {version}, or uv python install")
    environment = make_environment(tmp_path / "env", python)
    environment.install(str(built.wheel))
    tries(environment, volume)


@pytest.mark.torture
def test_the_sdist_installs_too(built: Built, tmp_path: Path, volume: Path) -> None:
    environment = make_environment(tmp_path / "env")
    environment.install(str(built.sdist))
    tries(environment, volume)


@pytest.mark.torture
def test_a_fresh_clone_leads_to_a_lease_as_readme_says(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git: apt-get install git")
    took = clone_and_lease(tmp_path)
    assert len(took) == 4, "git clone, install, init, hold"
