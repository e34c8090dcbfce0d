"""One worker of ``volumelease demo``: ``python -m volumelease.cli.contender PATH WITNESS``.

Takes a lease on PATH again and again, and says on stdout what happens, one JSON object a line,
with times in CLOCK_BOOTTIME. Told "stay" on stdin, it keeps the lease it holds until it loses it.
While it holds the lease there is a file in WITNESS that only one process can make: an independent
witness, in a directory of this machine, because a worker that is cut off from the volume could not
remove it there. Ends when its stdin does.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from typing import Any, Final

from volumelease import Lease, LeaseError, LeaseLost, volume_lease
from volumelease.host import ProcessFacts, provably_dead, this_process
from volumelease.leases.process import of_this_process

_HOLD_SECONDS: Final = (0.10, 0.20)
_LOOK_SECONDS: Final = 0.02

_SAYING: Final = threading.Lock()


class _Witness:
    def __init__(self, folder: str) -> None:
        self._file = f"{folder}/inside"
        self._here = this_process()
        self._lock = threading.Lock()
        self._inside = False

    def enter(self) -> bool:
        """Returns whether nobody else is inside."""
        if not self._make():
            if not self._left_by_the_dead():
                return False
            os.unlink(self._file)
            if not self._make():
                return False
        self._inside = True
        return True

    def leave(self) -> bool:
        """Returns whether we were still inside. The worker and its watch may both call this."""
        with self._lock:
            was, self._inside = self._inside, False
            if was:
                os.unlink(self._file)
            return was

    def _make(self) -> bool:
        try:
            file = os.open(self._file, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        os.write(file, f"{self._here.pid} {self._here.start_time}".encode())
        os.close(file)
        return True

    def _left_by_the_dead(self) -> bool:
        with open(self._file, encoding="ascii") as file:
            words = file.read().split()
        if len(words) != 2:
            return False
        here, (pid, start_time) = self._here, map(int, words)
        facts = ProcessFacts(here.hostname, here.boot_id, here.pid_namespace, pid, start_time)
        return provably_dead(facts, here)


def _say(what: str, **facts: Any) -> None:
    """In one piece: a loss is told by another thread, at the same time."""
    line = json.dumps({"what": what, "at": _now(), **facts}) + "\n"
    with _SAYING:
        sys.stdout.write(line)
        sys.stdout.flush()


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _compete(path: str, witness: _Witness, told_to_stay: threading.Event) -> None:
    def lost(lease: Lease) -> None:
        if witness.leave():
            _say("lost", token=lease.token)

    while True:
        _say("asks")
        try:
            with volume_lease(path, on_lost="ignore", reason="demo") as lease:
                if not witness.enter():
                    _say("overlap", token=lease.token)
                    continue
                lease.on_lost(lost)
                told_to_stay.clear()
                _say("enters", token=lease.token)
                if told_to_stay.wait(random.uniform(*_HOLD_SECONDS)):
                    _say("stays", token=lease.token)
                    while not lease.lost:
                        time.sleep(_LOOK_SECONDS)
                left_at = _now()
                if witness.leave():
                    _say("leaves", token=lease.token, left_at=left_at)
        except LeaseLost:
            continue
        except LeaseError as error:
            _say("error", text=str(error))
            return


def _listen(told_to_stay: threading.Event) -> None:
    for _ in sys.stdin:
        told_to_stay.set()
    of_this_process().close()
    os._exit(0)


def main() -> None:
    path, folder = sys.argv[1:]
    told_to_stay = threading.Event()
    threading.Thread(target=_listen, args=(told_to_stay,), daemon=True).start()
    try:
        _compete(path, _Witness(folder), told_to_stay)
    except BrokenPipeError:
        return  # nobody listens any more


if __name__ == "__main__":
    main()
