"""Who is told of a loss, in which order, and by which thread."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from volumelease import LeaseLost
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Volumes

from .test_volume_lease import SOURCE, found, hosted, python


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = found(tmp_path, ttl=10.0)
    yield made
    made.close()


def lose(volumes: Volumes) -> None:
    one = hosted(volumes)
    one.session.pulse.lose("a test")
    one._news.set()


def test_a_callback_that_blocks_keeps_no_program_running_and_no_other_callback_waiting(
    volumes: Volumes, tmp_path: Path
) -> None:
    told, enough = threading.Event(), threading.Event()
    with (
        volume_lease(tmp_path / "a", on_lost="ignore", volumes=volumes) as first,
        volume_lease(tmp_path / "b", on_lost="ignore", volumes=volumes) as second,
    ):
        first.on_lost(lambda lost: enough.wait(30))
        second.on_lost(lambda lost: told.set())
        lose_soon = threading.Timer(0.3, lose, (volumes,))
        lose_soon.start()
        try:
            with pytest.raises(LeaseLost):
                second.run(["sleep", "8"])
            assert told.wait(5)
        finally:
            enough.set()


def test_on_lost_signal_of_a_lease_does_not_wait_for_the_callback_of_another(
    tmp_path: Path,
) -> None:
    found(tmp_path, ttl=30.0)
    done = python(
        """
        import sys, time
        from volumelease import volume_lease
        from volumelease.leases.process import of_this_process
        with volume_lease(sys.argv[1] + "/a", on_lost="ignore") as first:
            first.on_lost(lambda lost: time.sleep(8))
            with volume_lease(sys.argv[1] + "/b", on_lost="signal"):
                (hosted,) = of_this_process()._sessions.values()
                hosted.session.pulse.lose("a test")
                hosted._news.set()
                time.sleep(5)
                print("nobody told this process")
        """,
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, ""), done.stderr


def no_thread(*_: Any) -> NoReturn:
    raise RuntimeError("can't start new thread")


def test_where_no_thread_can_be_made_callbacks_are_called_last(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    with (
        volume_lease(tmp_path / "a", on_lost="ignore", volumes=volumes) as first,
        volume_lease(tmp_path / "b", on_lost="ignore", volumes=volumes),
    ):
        first.on_lost(lambda lost: told.append("a user"))
        hosted(volumes).on_change(lambda: told.append("what can't wait"))
        told.clear()
        monkeypatch.setattr(hosted(volumes), "_start", no_thread)
        lose(volumes)
        until = time.monotonic() + 10
        while "a user" not in told and time.monotonic() < until:
            time.sleep(0.01)
    assert told == ["what can't wait", "a user"]


def test_on_lost_signal_ends_a_process_that_can_start_no_thread(tmp_path: Path) -> None:
    found(tmp_path, ttl=2.0)
    done = python(
        """
        import signal, sys, threading, time
        from volumelease import volume_lease
        from volumelease.leases.process import of_this_process
        signal.signal(signal.SIGTERM, lambda *_: print("TERM", flush=True))
        with volume_lease(sys.argv[1] + "/a", on_lost="signal"):
            def start(thread):
                raise RuntimeError("can't start new thread")
            threading.Thread.start = start
            (hosted,) = of_this_process()._sessions.values()
            hosted.session.pulse.lose("a test")
            hosted._news.set()
            until = time.monotonic() + 8
            while time.monotonic() < until:
                time.sleep(0.1)
        """,
        tmp_path,
    )
    assert done.stdout == "TERM\n"
    assert done.returncode == -signal.SIGKILL


FIRST_PROCESS = """
    import os, signal, sys, time
    from volumelease import volume_lease
    from volumelease.leases.process import of_this_process
    if sys.argv[2] == "heard":
        signal.signal(signal.SIGTERM, lambda *_: print("TERM", flush=True))
    with volume_lease(sys.argv[1] + "/a", on_lost="signal"):
        (hosted,) = of_this_process()._sessions.values()
        print("pid", os.getpid(), flush=True)
        hosted.session.pulse.lose("a test")
        hosted._news.set()
        until = time.monotonic() + 8
        while time.monotonic() < until:
            time.sleep(0.1)
        os._exit(0)
"""


@pytest.mark.parametrize("term", ["default", "heard"])
def test_on_lost_signal_ends_the_first_process_of_a_container(tmp_path: Path, term: str) -> None:
    """The kernel passes it no SIGTERM that it does not handle, and never its own SIGKILL."""
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare (util-linux)")
    alone = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("pid namespaces are not permitted here")
    found(tmp_path, ttl=2.0)
    done = subprocess.run(
        [*alone, sys.executable, "-c", textwrap.dedent(FIRST_PROCESS), str(tmp_path), term],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    assert done.stdout == ("pid 1\nTERM\n" if term == "heard" else "pid 1\n"), done.stderr
    assert done.returncode == 128 + signal.SIGKILL
