"""Checks of this machine: its clocks, and what it can prove about processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Final

from volumelease.clock import SystemClock
from volumelease.host import provably_dead, this_process

from . import processes
from .checks import Check, Patient

_WATCHED_SECONDS: Final = 0.3
_TOLERATED_SECONDS: Final = 0.05
_RELEASED: Final = 1_700_000_000
"""A wall clock before November 2023 was never set."""


def clocks(patient: Patient) -> Check:
    del patient
    clock = SystemClock()
    first = clock.read()
    time.sleep(_WATCHED_SECONDS)
    last = clock.read()
    monotonic = last.monotonic - first.monotonic
    boottime = last.boottime - first.boottime
    wall = last.wall - first.wall
    if not 0 < monotonic < 60 or abs(boottime - monotonic) > _TOLERATED_SECONDS:
        detail = f"in {monotonic:.2f} s of CLOCK_MONOTONIC, CLOCK_BOOTTIME went {boottime:.2f} s"
        return Check("clocks", "fail", detail, "Don't run workers here: deadlines would be wrong")
    if last.wall < _RELEASED or abs(wall - monotonic) > _TOLERATED_SECONDS:
        detail = f"the wall clock says {time.ctime(last.wall)} and went {wall:.2f} s in \
{monotonic:.2f} s"
        advice = "Set it slowly (slew it): a jump ahead looks like a pause, and costs the leases"
        return Check("clocks", "warn", detail, advice)
    return Check("clocks", "ok", "monotonic, boottime and wall clock run alike")


def death(patient: Patient) -> Check:
    """Proof of death spares the ttl after a worker of this host was killed."""
    del patient
    here = this_process()
    advice = "Nothing: a killed worker's leases are free after the ttl, rather than at once"
    if not here.boot_id or not here.pid_namespace:
        return Check("death", "warn", "/proc does not tell boot id and pid namespace", advice)
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "input()"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    facts = this_process(child.pid)
    alive = provably_dead(facts, here)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    dead = provably_dead(facts, here)
    child.communicate()
    if alive:
        detail = "a running process was taken for dead"
        return Check("death", "fail", detail, "Don't run workers here, and tell us")
    if not dead:
        return Check("death", "warn", "the death of a process can't be proven here", advice)
    detail = f"proven by pidfd, boot {here.boot_id[:8]}, pid namespace {here.pid_namespace}"
    return Check("death", "ok", detail)


def descendants(patient: Patient) -> Check:
    """What ``hold`` needs to end a command with all it started."""
    del patient
    try:
        processes.adopt_orphans()
        seen = processes.look_up(os.getpid())
    except (OSError, AttributeError) as error:
        return Check("descendants", "warn", str(error), "Don't use volumelease hold here")
    if seen is None:
        return Check("descendants", "warn", "no /proc here", "Don't use volumelease hold here")
    return Check("descendants", "ok", "hold can end a command with everything it started")
