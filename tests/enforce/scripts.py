"""Programs of users that the tests run, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.cli.shell import NOTHING, environment


def python(
    script: str,
    volume: Path,
    *words: str | Path,
    env: Mapping[str, str] = NOTHING,
    before: Sequence[str] = (),
) -> list[str]:
    """What the script says, line by line. ``denied(work)`` in it gives the error of a refusal."""
    head = """
        import os, sys, time
        from pathlib import Path
        from volumelease import LeaseLost, LeaseViolation, volume_lease
        V = Path(sys.argv[1])
        def denied(work):
            try: work()
            except (LeaseLost, LeaseViolation) as error: return error
    """
    done = subprocess.run(
        [
            *before,
            sys.executable,
            "-c",
            textwrap.dedent(head) + textwrap.dedent(script),
            volume,
            *words,
        ],
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if "ext4 is local" not in line]
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines() + [f"stderr: {line}" for line in told if "is local" not in line]


_FORBID: Final = """
import ctypes, errno, os, struct, sys
def operation(code, yes, no, value): return struct.pack("HBBI", code, yes, no, value)
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | int(sys.argv[1])
program = ctypes.create_string_buffer(b"".join([
    operation(0x20, 0, 0, 0),    # the number of the call
    operation(0x35, 0, 2, 444),  # landlock_create_ruleset or later
    operation(0x25, 1, 0, 446),  # later than landlock_restrict_self
    operation(0x06, 0, 0, REFUSE),
    operation(0x06, 0, 0, ALLOW),
]))
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 5, ctypes.addressof(program)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, filter, 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execv(sys.argv[2], sys.argv[2:])
"""


def without_landlock(code: int) -> list[str]:
    """What to put in front of a command: a seccomp profile that answers the calls of Landlock
    with this errno. Bits of BPF: load, jump if >=, jump if >, return (linux/bpf_common.h)."""
    return [sys.executable, "-c", _FORBID, str(code)]
