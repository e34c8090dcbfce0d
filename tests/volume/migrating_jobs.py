"""Processes that migrate a volume and have an accident on the way, and who are in the midst of it:
``python -m tests.volume.migrating_jobs JOB JSON``."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from tests.volume.jobs import say, with_redis
from volumelease.drivers.files import Files
from volumelease.drivers.scripts import Scripts
from volumelease.effects import CallScript, Effect, Symlink
from volumelease.errors import LeaseError
from volumelease.leases.asking import volume_lease
from volumelease.leases.migrating import migrate
from volumelease.paths.locate import locate

MODULE = "tests.volume.migrating_jobs"


def step_of(effect: Effect) -> str:
    """The name of the steps that decide something."""
    match effect:
        case CallScript(script="move"):
            return "end the table"
        case Symlink(target=target) if '"k":"moved"' in target:
            return "end the log"
        case Symlink(name=name) if ".volumelease/identity." in name:
            return "begin the era"
    return ""


class Accidents:
    """Counts the calls of the main thread. At the call that is named by its number or its step,
    this process gets a signal, before or after it."""

    def __init__(self, at: int | str, after: bool, number: int) -> None:
        self.calls = 0
        self._at = at
        self._after = after
        self._number = number
        self._inside = False

    def install(self) -> None:
        for kind in (Files, Scripts):
            kind.perform = self._around(kind.perform)  # type: ignore[method-assign] # for good

    def _around(self, perform: Any) -> Any:
        def performed(performer: Any, effect: Effect) -> Any:
            mine = threading.current_thread() is threading.main_thread() and not self._inside
            if not mine:
                return perform(performer, effect)
            self.calls += 1
            met = self._at in (self.calls, step_of(effect))
            if met and not self._after:
                self._happen()
            self._inside = True  # one performer calls the other
            try:
                return perform(performer, effect)
            finally:
                self._inside = False
                if met and self._after:
                    self._happen()

        return performed

    def _happen(self) -> None:
        say(accident=True)
        os.kill(os.getpid(), self._number)


def run(
    root: str,
    target: Any,
    redis: str,
    at: int | str = 0,
    after: bool = False,
    number: int = signal.SIGKILL,
) -> None:
    accidents = Accidents(at, after, number)
    accidents.install()
    mine = with_redis(redis)
    identity, changed = migrate(locate(root, explicit=root), target, mine)
    say(done=identity.authority, era=identity.era, changed=changed, calls=accidents.calls)
    mine.close()


def take_with_redis(root: str, path: str, redis: str) -> None:
    with volume_lease(f"{root}/{path}", volumes=with_redis(redis)) as lease:
        say(granted=True, token=lease.token)
        sys.stdin.readline()


def publish_late(root: str, path: str, redis: str) -> None:
    try:
        with (
            volume_lease(f"{root}/{path}", volumes=with_redis(redis)) as lease,
            lease.stage() as draft,
        ):
            draft.write_text("of the holder that was cut off")
            say(granted=True)
            sys.stdin.readline()
        say(failed="")
    except LeaseError as error:
        say(failed=type(error).__name__)


if __name__ == "__main__":
    jobs: dict[str, Callable[..., None]] = {
        "migrate": run,
        "take_with_redis": take_with_redis,
        "publish_late": publish_late,
    }
    jobs[sys.argv[1]](**json.loads(sys.argv[2]))
