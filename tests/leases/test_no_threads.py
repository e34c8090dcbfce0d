"""Where no thread can be had (a limit, the end of a Python 3.12), what is held is let go of all the
same."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from tests.package.building import pythons
from volumelease import LeaseTimeout
from volumelease.leases.asking import volume_lease
from volumelease.leases.hosting import HostedSession
from volumelease.leases.volumes import Volumes
from volumelease.paths.locate import locate

from .test_volume_lease import SOURCE, found, hosted

LEASE: Final = """
import sys
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
volume_lease(sys.argv[1] + "/a").__enter__()
print("held")
"""


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = found(tmp_path, ttl=30.0)
    yield made
    made.close()


def no_thread(*_: Any) -> NoReturn:
    raise RuntimeError("can't start new thread")


def free(volumes: Volumes, path: Path) -> bool:
    try:
        with volume_lease(path, timeout=0, volumes=volumes):
            return True
    except LeaseTimeout:
        return False


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_a_process_of_every_python_closes_its_session_at_its_end(
    tmp_path: Path, version: str
) -> None:
    """Its own word ends it: whoever reads the log needs no proof of its death, and no ttl."""
    interpreter = pythons().get(version)
    if interpreter is None:
        pytest.skip(f"Python {version} is not here")
    volumes = found(tmp_path, ttl=30.0)
    (tmp_path / "a").mkdir()
    with volume_lease(tmp_path / "b", volumes=volumes):
        done = subprocess.run(
            [str(interpreter), "-c", LEASE, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
        assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr
        assert "Traceback" not in done.stderr
        one = hosted(volumes)
        one.run(one.session.look())
        assert list(one.session.replica.table.sessions) == [one.session.name]
    volumes.close()


def test_a_session_that_no_thread_can_be_had_for_is_closed_all_the_same(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Volumes(volumes.surroundings)
    volume_lease(tmp_path / "a", volumes=volumes).__enter__()
    assert not free(other, tmp_path / "a")
    with monkeypatch.context() as limit:
        limit.setattr(threading.Thread, "start", no_thread)
        volumes.close()
    assert free(other, tmp_path / "a")
    other.close()


def test_a_volume_that_hangs_is_not_waited_for_where_no_thread_can_be_had(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume_lease(tmp_path / "a", volumes=volumes).__enter__()
    one, free_again = hosted(volumes), threading.Event()

    def hang() -> Any:
        free_again.wait(30)
        yield from ()

    monkeypatch.setattr(one.session, "close", hang)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    began = time.monotonic()
    one.close(0.2)
    assert time.monotonic() - began < 10
    assert one.session.pulse.lost == "the process is exiting"
    free_again.set()


def test_a_block_with_a_timeout_lets_go_where_no_thread_can_be_had(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Volumes(volumes.surroundings)
    with (
        monkeypatch.context() as limit,
        volume_lease(tmp_path / "a", timeout=5, volumes=volumes),
    ):
        volumes._patience._idle.clear()  # its thread is busy with what hangs
        limit.setattr(threading.Thread, "start", no_thread)
    assert hosted(volumes).session.requests.wanted == {}
    assert free(other, tmp_path / "a")
    other.close()


@pytest.mark.parametrize("missing", ["volumelease-beat", "volumelease-watch", "volumelease-wait"])
def test_a_session_that_a_thread_can_not_be_had_for_does_not_beat_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """As one that a daemon goes on with: nobody would ever let go of what others have there."""
    volumes = found(tmp_path)
    made: list[HostedSession] = []
    started = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == missing:
            no_thread()
        started(thread)

    def note(self: HostedSession) -> None:
        made.append(self)
        if missing == "volumelease-wait":
            monkeypatch.setattr(type(self.session), "waits", True)
        go(self)

    go = HostedSession._go
    monkeypatch.setattr(HostedSession, "_go", note)
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="start new thread"):
        volumes.session(locate(tmp_path, explicit=str(tmp_path)))
    assert made[0].session.pulse.lost == "no thread could be had"
    volumes.close()
