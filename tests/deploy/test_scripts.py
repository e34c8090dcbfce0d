"""The scripts of deploy/, run as on a container's start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import make_volume
from tests.cli.shell import ROOT, environment, eventually

from .files import DEPLOY

START = DEPLOY / "runpod" / "start.sh"
COUNTING = DEPLOY / "examples" / "counting.py"


def start(*command: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", str(START), *command],
        env=environment({"PYTHON": sys.executable, "VOLUMELEASE_HTTP": "off", **more}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def socket_at(tmp_path: Path) -> dict[str, str]:
    return {"VOLUMELEASE_SOCKET": str(tmp_path / "run" / "daemon.sock")}


def test_what_it_starts_has_a_daemon_and_keeps_its_exit_code(
    tmp_path: Path, socket_at: dict[str, str]
) -> None:
    volume = make_volume(tmp_path / "volume", ttl=3.0)
    code = (
        "import sys\n"
        "from volumelease import volume_lease\n"
        "with volume_lease(sys.argv[1]) as lease:\n"
        "    print(type(lease._hosted).__name__)\n"
        "sys.exit(7)\n"
    )
    handler = start(sys.executable, "-c", code, str(volume / "a b"), **socket_at)
    said, errors = handler.communicate(timeout=60)
    assert handler.returncode == 7, errors
    assert said == "HostedByDaemon\n"


def test_a_sigterm_reaches_the_handler(tmp_path: Path, socket_at: dict[str, str]) -> None:
    told = tmp_path / "told"
    code = (
        "import pathlib, signal, sys, time\n"
        f"told = pathlib.Path({str(told)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (told.write_text('term'), sys.exit(0)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    handler = start(sys.executable, "-c", code, **socket_at)
    assert handler.stdout is not None
    assert handler.stdout.readline() == "ready\n"
    handler.send_signal(signal.SIGTERM)
    handler.communicate(timeout=30)
    assert told.read_text() == "term"


@pytest.mark.parametrize(
    ("command", "more", "said"),
    [
        (["/no/such/handler"], {}, "/no/such/handler is not in this image"),
        (["true"], {"PYTHON": "/no/python"}, "no /no/python in this image"),
        ([], {}, "/start.sh is not in this image"),
    ],
)
def test_what_can_not_be_started_is_told_with_what_to_do(
    command: list[str], more: dict[str, str], said: str
) -> None:
    if not command and os.path.exists("/start.sh"):
        pytest.skip("this machine has a /start.sh")
    handler = start(*command, **more)
    _, errors = handler.communicate(timeout=30)
    lines = errors.splitlines()
    assert (handler.returncode, len(lines)) == (1, 2), errors
    assert said in lines[0]
    assert lines[1].startswith("try: ")


def test_where_it_is_missing_it_is_installed_for_the_handlers_python(tmp_path: Path) -> None:
    """A Python without it, whose pip says what it was asked for."""
    fake = tmp_path / "python3"
    fake.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >>{tmp_path}/asked\n'
        'case "$*" in *"import volumelease"*) test -e ' + f"{tmp_path}/installed;; "
        f'*"pip install"*) : >{tmp_path}/installed;; esac\n'
    )
    fake.chmod(0o755)
    more = {
        "LEASES_PIP_OPTIONS": "--no-index --find-links /x",
        "LEASES_PACKAGE": "volumelease[redis]",
    }
    done = start("true", "a b", PYTHON=str(fake), **more)
    done.communicate(timeout=30)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[2].endswith("--no-index --find-links /x volumelease[redis]")
    assert asked[3] == "-m volumelease worker -- true a b"


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_it_is_installed_for_real(tmp_path: Path) -> None:
    """From a wheel, into an environment that has nothing."""
    place, wheels = tmp_path / "venv", tmp_path / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "-w", str(wheels), f"{ROOT}"], check=True, timeout=600)
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=300)
    shutil.copy(START, tmp_path / "start.sh")
    words = ["sh", str(tmp_path / "start.sh"), "python", "-c", "import volumelease; print('here')"]
    env = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    env |= {
        "PATH": f"{place}/bin:{env['PATH']}",
        "LEASES_PACKAGE": "volumelease",
        "LEASES_PIP_OPTIONS": f"--no-index --find-links {wheels}",
        "VOLUMELEASE_SOCKET": str(tmp_path / "daemon.sock"),
    }
    for _ in range(2):
        done = subprocess.run(
            words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert (done.returncode, done.stdout) == (0, "here\n"), done.stderr


def test_workers_that_count_lose_no_step(tmp_path: Path) -> None:
    volume = make_volume(tmp_path / "volume", ttl=3.0)
    words = [sys.executable, str(COUNTING), str(volume / "data"), "2"]
    env = environment({"VOLUMELEASE_SOCKET": str(tmp_path / "none")})
    workers = [
        subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sorted(int(one) for lines in said for one in lines) == [1, 2, 3, 4, 5, 6]
    eventually(lambda: (volume / "data" / "number").read_text() == "6")
