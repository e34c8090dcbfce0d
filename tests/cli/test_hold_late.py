"""``volumelease hold`` whose processes stand still before the command starts: what starts then
starts within the lease, or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from .conftest import picture_of
from .shell import Running, environment, error_of, eventually, runs

WARDEN = """
import os, signal, sys, time
from volumelease.cli import orders, processes, warden
from volumelease.cli.orders import Message

def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)

def started(*command):
    orders_from, orders_to = os.pipe()
    reports_from, reports_to = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(orders_to)
        warden.serve(warden.Terms(command, 0, frozenset()), orders_from, reports_to)
    os.close(orders_from)
    os.close(reports_to)
    return pid, lambda *parts: orders.write(orders_to, Message(*parts)), reports_from

def prepared(stand_still, file):
    '''One whose command stands still while its sandbox is made, with a second left.'''
    warden._confine = lambda plan, tell_refusal: stand_still() or True
    pid, tell, reports = started("touch", file)
    tell(orders.SANDBOX, 0, 0.0, "a plan")
    tell(orders.RUN, 7, now() + 1.0, "/v/a")
    return pid, tell, reports

def told(reports):
    '''What it reports, until it says that all is gone.'''
    kinds = []
    while not kinds or kinds[-1][0] != orders.GONE:
        message = orders.read(reports)
        kinds.append((message.kind, message.number))
    return kinds
"""


def with_a_warden(code: str, *arguments: Path) -> None:
    """Run ``code`` in a process of its own: it is forked there."""
    subprocess.run(
        [sys.executable, "-c", WARDEN + textwrap.dedent(code), *map(str, arguments)],
        env=environment(),
        timeout=30,
        check=True,
    )


def test_a_hold_stopped_while_it_waits_does_not_start_its_command_in_the_lease_of_another(
    volume: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    with Running("hold", volume / "a", "--", "sleep", "60") as first:
        eventually(lambda: picture_of(volume).holders())
        with Running("hold", volume / "a", "--", "touch", ran) as stopped:
            eventually(lambda: picture_of(volume).waiters())
            keeper = stopped.child("lease-keeper")
            stopped.signal(signal.SIGSTOP)
            first.signal(signal.SIGTERM)
            eventually(lambda: not runs(keeper))
            script = f"touch {tmp_path}/theirs; sleep 60"
            with Running("hold", volume / "a", "--", "sh", "-c", script):
                eventually((tmp_path / "theirs").exists)
                stopped.signal(signal.SIGCONT)
                code, out, said = stopped.finish()
    assert not ran.exists()
    what, advice = error_of(subprocess.CompletedProcess([], code, out, said))
    assert (code, advice) == (76, "run it again")
    assert "hold was stopped for too long; the command was not started" in what


def test_a_warden_that_stood_still_before_the_start_starts_nothing(tmp_path: Path) -> None:
    """As ``hold`` and warden do in a container that is frozen: the order is old when it is
    read."""
    with_a_warden(
        """
        pid, tell, reports = started("touch", sys.argv[1])
        tell(orders.RUN, 7, now() - 0.01, "/v/a")
        assert told(reports) == [(orders.GONE, 2)]
        tell(orders.DEADLINE, 0, now() + 60)  # too late: it was reported as gone
        time.sleep(0.2)
        """,
        tmp_path / "ran",
    )
    assert not (tmp_path / "ran").exists()


def test_a_command_whose_sandbox_took_until_the_deadline_is_not_executed(tmp_path: Path) -> None:
    """The warden stands still too, so nobody ends it in time."""
    with_a_warden(
        """
        def stand_still():
            os.kill(os.getppid(), signal.SIGSTOP)
            time.sleep(1.2)

        pid, tell, reports = prepared(stand_still, sys.argv[1])
        os.waitid(os.P_PID, pid, os.WSTOPPED)
        (child,) = processes.descendants(pid)
        while open(f"/proc/{child.pid}/stat").read().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.02)
        os.kill(pid, signal.SIGCONT)
        assert told(reports) == [(orders.GONE, 2)]
        """,
        tmp_path / "ran",
    )
    assert not (tmp_path / "ran").exists()


def test_a_command_whose_sandbox_takes_long_goes_by_the_newest_deadline(tmp_path: Path) -> None:
    with_a_warden(
        """
        pid, tell, reports = prepared(lambda: time.sleep(1.2), sys.argv[1])
        tell(orders.DEADLINE, 0, now() + 60)
        assert told(reports) == [(orders.ENDED, 0), (orders.GONE, 0)]
        """,
        tmp_path / "ran",
    )
    assert (tmp_path / "ran").exists()
