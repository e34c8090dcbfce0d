"""Checks of what keeps writers to their leases: a level works when a child was really denied."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from .checks import Check, Patient
from .places import settings_of_this_process

_TRY: Final = """
def attempt(place):
    try:
        open(place, "w").close()
    except PermissionError:
        return False
    return True

def told(top):
    return 10 + 2 * attempt(top + "/leased/new") + attempt(top + "/unleased/new")

import sys
"""
_ALONE: Final = f"{_TRY}sys.exit(told(sys.argv[1]))"
_GUARDED: Final = f"""{_TRY}
import json
sys.path[:] = json.loads(sys.argv[2])
from volumelease.cli.enforcement_checks import arm
arm(sys.argv[1])
sys.exit(told(sys.argv[1]))
"""
_RIGHT: Final = 12
"""The leased place was written, the other one was not."""


def guard(patient: Patient) -> Check:
    """The Python guard, in a child that arms it on the mount."""
    mode = settings_of_this_process().guard
    if mode == "off":
        detail = "VOLUMELEASE_GUARD=off: writes from Python without a lease are not stopped"
        return Check("guard", "warn", detail, "Unset VOLUMELEASE_GUARD")
    top = _places(patient, "guard")
    done = _run([sys.executable, "-c", _GUARDED, top, json.dumps(sys.path)])
    if done.returncode != _RIGHT:
        return _wrong("guard", done)
    if mode == "warn":
        detail = "a write without a lease was told, and refused only with VOLUMELEASE_GUARD=enforce"
        return Check("guard", "warn", detail, "VOLUMELEASE_GUARD=enforce, once nothing is told")
    return Check("guard", "ok", "level python: a write without a lease was refused in a child")


def landlock(patient: Patient) -> Check:
    """The sandbox of ``hold --sandbox`` and ``lease.run``, in a child on the mount."""
    from volumelease.enforce import sandbox
    from volumelease.enforce.landlock import Confinement, LandlockMissing

    top = _places(patient, "landlock")
    try:
        rules = sandbox.ruleset(sandbox.Plan((top,), (f"{top}/leased",)))
    except LandlockMissing as error:
        advice = "Use a kernel from 5.13 on, and a container runtime that lets Landlock through; \
hold --sandbox runs at a lower level here, and --require landlock not at all"
        return Check("landlock", "warn", str(error.strerror), advice)
    try:
        words = [sys.executable, "-I", "-S", "-c", _ALONE, top]
        done = _run(words, Confinement(rules.number))
    except subprocess.SubprocessError as error:
        return Check("landlock", "warn", str(error), "Don't rely on hold --sandbox here")
    finally:
        os.close(rules.number)
    if done.returncode != _RIGHT:
        return _wrong("landlock", done)
    detail = f"level landlock: the kernel refused a child's write (ABI {rules.version})"
    if rules.version < 3:
        detail += "; a kernel this old lets a file be cut (truncate) without the right to write it"
    return Check("landlock", "ok", detail)


def arm(top: str) -> None:
    """Guard a directory that stands for a volume, with one lease; in a process of its own."""
    from volumelease.enforce.ground import Cover
    from volumelease.enforce.guard import guard
    from volumelease.paths.locate import VolumeRoot
    from volumelease.paths.mounts import UNSEEN

    guard.arm(VolumeRoot(top, top, UNSEEN, initialised=True), "doctor")
    guard.begin("doctor", Cover(("leased",), _Held()))


class _Held:
    mode = "exclusive"
    lost = over = False

    def check(self) -> None:
        return


def _places(patient: Patient, name: str) -> str:
    top = os.path.realpath(f"{patient.scratch}/{name}")
    for place in ("leased", "unleased"):
        os.makedirs(f"{top}/{place}")
    return top


def _run(
    words: list[str], before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        preexec_fn=before,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _wrong(name: str, done: subprocess.CompletedProcess[str]) -> Check:
    seen = {13: "a write without a lease went through", 10: "a leased write was refused"}
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    detail = seen.get(done.returncode, f"the child that tried failed: {last}")
    return Check(name, "fail", detail, "Don't rely on it here, and tell us")
