"""Proof of death is never wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from volumelease.host import provably_dead, this_process

SLEEP = [sys.executable, "-c", "print(flush=True); input()"]


def test_a_living_process_is_not_dead() -> None:
    here = this_process()
    assert here.boot_id
    assert not provably_dead(here, here)
    assert not provably_dead(this_process(os.getppid()), here)


def test_a_killed_process_is_dead_even_before_it_is_reaped() -> None:
    with subprocess.Popen(SLEEP, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        facts, here = this_process(child.pid), this_process()
        assert not provably_dead(facts, here)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
        assert provably_dead(facts, here)
    assert provably_dead(facts, here)


def test_a_pid_that_changed_hands_is_dead_and_a_wrong_start_time_proves_it() -> None:
    here = this_process()
    assert provably_dead(here._replace(start_time=here.start_time - 1), here)


@pytest.mark.parametrize(
    "change",
    [
        {"boot_id": "another"},
        {"pid_namespace": 1},
        {"hostname": "elsewhere"},
        {"start_time": 0},
        {"pid": 0},
        {"pid": -5},
        {"pid": 2**70},
    ],
)
def test_whatever_is_unsure_proves_nothing(change: dict[str, object]) -> None:
    here = this_process()
    gone = here._replace(pid=2**22 + 7)
    assert provably_dead(gone, here)
    assert not provably_dead(gone._replace(**change), here)  # type: ignore[arg-type]
    assert not provably_dead(gone, here._replace(boot_id=""))


LEADER_GONE = """
import ctypes, threading, time
threading.Thread(target=input).start()
print(flush=True)
time.sleep(0.2)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_leader_that_exited_is_not_gone_while_a_thread_runs() -> None:
    command = [sys.executable, "-c", LEADER_GONE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        facts, here = this_process(child.pid), this_process()
        state = ""
        while state != "Z":
            content = Path(f"/proc/{child.pid}/stat").read_text()
            state = content.rpartition(")")[2].split()[0]
        assert not provably_dead(facts, here)
        child.kill()
        child.wait()
        assert provably_dead(facts, here)


def test_a_process_of_another_pid_namespace_is_never_proven_dead() -> None:
    inner = [sys.executable, "-c", "from volumelease.host import *; print(repr(this_process()))"]
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *inner]
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare (util-linux)")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")},
    )
    if done.returncode:
        pytest.skip(f"pid namespaces are not permitted here: {done.stderr.strip()}")
    from volumelease.host import ProcessFacts

    inside = eval(done.stdout, {"ProcessFacts": ProcessFacts})
    assert inside.pid_namespace != this_process().pid_namespace
    assert not provably_dead(inside, this_process())
