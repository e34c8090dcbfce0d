"""One job: a process that runs tasks for the engine, ``python -m volumelease.bench.job``.

A task is a function ``(Job, parameters) -> answer``, named ``module:function``; parameters and
answer are JSON. The process ends when its standard input does, and is killed with its parent, so
nothing goes on writing to a volume for a benchmark that is gone.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from volumelease.errors import LeaseError, VolumeFull

from .page import Page, Slot

_PR_SET_PDEATHSIG: Final = 1
_GLANCE_SECONDS: Final = 0.0002


@dataclass(slots=True)
class Job:
    """What a task has beside its parameters: its number among the jobs of this run, and where it
    tells how far it is."""

    number: int
    slot: Slot

    def begin(self) -> int:
        """Say that everything is prepared, wait until all jobs are, and return the time of the
        start (``time.monotonic_ns``)."""
        self.slot.ready()
        while self.slot.told_to_wait():
            time.sleep(_GLANCE_SECONDS)
        return time.monotonic_ns()


Task = Callable[[Job, dict[str, Any]], dict[str, Any]]


def main() -> int:
    """Answer one line for each line, until there are no more."""
    parent, descriptor = int(sys.argv[1]), int(sys.argv[2])
    _die_with(parent)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the engine ends its jobs, and in order
    page = Page(descriptor)
    for line in sys.stdin:
        os.write(1, json.dumps(_answer(page, json.loads(line))).encode() + b"\n")
    return 0


def _answer(page: Page, order: dict[str, Any]) -> dict[str, Any]:
    job = Job(order["number"], page.slot(order["number"]))
    try:
        module, _, function = order["task"].partition(":")
        task: Task = getattr(import_module(module), function)
        return {"answer": task(job, order["parameters"])}
    except LeaseError as error:  # before OSError, which some of them are too, without a number
        return _told(error)
    except OSError as error:
        return {"errno": error.errno or 0, "message": str(error)}
    except Exception as error:  # noqa: BLE001 - the engine raises it in its own process
        said = "".join(traceback.format_exception_only(error)).strip()
        return {"errno": None, "message": said, "trace": traceback.format_exc()}
    finally:
        job.slot.ready()  # one that failed must not keep the others waiting


def _told(error: LeaseError) -> dict[str, Any]:
    if not isinstance(error, VolumeFull):
        return {"errno": None, "message": error.what, "advice": error.advice}
    cause = error.__cause__
    quota = isinstance(cause, OSError) and cause.errno == errno.EDQUOT
    return {"errno": errno.EDQUOT if quota else errno.ENOSPC, "message": error.what}


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that was set
        os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
