"""Before whatever else the machine does: a volume's server is another machine in the field, and
what other tests take from a measurement is no property of a mount. Without the right to it,
nothing happens."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def real_time() -> None:
    """This process and what it starts run whenever they can. Only for what uses little of a core:
    whoever computes like this keeps all others from it."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def ahead() -> None:
    """This process and what it starts get most of the machine, and leave something to others."""
    with suppress(PermissionError):
        os.nice(-10)
    # Linux shares by session first, where it groups sessions: nice(1) alone is within one. sched(7)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("-15")
