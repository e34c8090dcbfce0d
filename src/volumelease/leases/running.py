"""A program run under a lease: kept to what is leased, and ended with it."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from volumelease.enforce import landlock, sandbox
from volumelease.errors import EnforcementMissing
from volumelease.paths.lists import joined

if TYPE_CHECKING:
    from volumelease.enforce.levels import Level

    from .lease import Lease

_STUBBORN_SECONDS: Final = 1.0
"""What hangs in the kernel dies when its call returns; it is not waited for."""

_GRACE_SECONDS: Final = 10.0
"""Between SIGTERM and SIGKILL where nobody else may take over meanwhile."""

_LOOK_SECONDS: Final = 0.02


def run(
    lease: Lease,
    args: Sequence[str | os.PathLike[str]] | str,
    require: Level | None,
    options: dict[str, Any],
) -> subprocess.CompletedProcess[Any]:
    """See ``Lease.run``."""
    share = _share_of(lease)
    try:
        return _run(lease, share, args, require, options)
    finally:
        share.release()


def _share_of(lease: Lease) -> Lease:
    """What keeps the lease for as long as the program runs, whoever ends the block meanwhile; and
    exclusive. Errors: ``LeaseLost``."""
    lease.check()
    share = lease._share(lease.paths, lease.mode, lease._terms)
    if share is None:  # its block ended this moment
        lease.check()
    assert share is not None
    return share


def _run(
    lease: Lease,
    share: Lease,
    args: Sequence[str | os.PathLike[str]] | str,
    require: Level | None,
    options: dict[str, Any],
) -> subprocess.CompletedProcess[Any]:
    timeout, check = options.pop("timeout", None), options.pop("check", False)
    given = options.pop("input", None)
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if given is not None:
        options["stdin"] = subprocess.PIPE
    for taken in ("preexec_fn", "process_group", "start_new_session"):
        if taken in options:
            raise ValueError(f"{taken}: lease.run needs it for itself")
    rules = _rules(share, require)
    level: Level = "none" if rules is None else "landlock"
    options["env"] = _environment(share, options.pop("env", None), level)
    try:
        tether = _Tether(rules)
        try:
            process = _start(tether, args, options)
            out, err = _Watch(lease, share, process).until_it_ends(given, timeout)
        finally:
            tether.end()
    finally:
        if rules is not None:
            os.close(rules.number)
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def _rules(lease: Lease, require: Level | None) -> landlock.Ruleset | None:
    """None: this kernel has no Landlock, and nobody insists. Errors: ``EnforcementMissing``;
    those of ``sandbox``."""
    terms = lease._terms
    names = [claim.path for claim in terms.asked] if lease.mode == "exclusive" else []
    drafts = [os.path.dirname(place) for place in list(lease._root._drafts)]
    try:
        if require == "supervised":
            raise landlock.LandlockMissing(0, "this version has no level supervised")
        return sandbox.ruleset(sandbox.plan(terms.root, names, drafts))
    except landlock.LandlockMissing as error:
        if require is not None and require != "none":
            raise EnforcementMissing(
                f"level {require} is required, and can't be had here: {error.strerror}",
                level=require,
                reason=error.strerror,
            ) from None
        terms.volumes.tell_once(
            f"volumelease: enforcement: level none for what lease.run starts: {error.strerror}"
        )
        return None


def _environment(lease: Lease, given: Any, level: Level) -> dict[str, str]:
    return {
        **(os.environ if given is None else given),
        "VOLUMELEASE_TOKEN": str(lease.token),
        "VOLUMELEASE_PATHS": joined(lease.paths),
        "VOLUMELEASE_MODE": lease.mode,
        "VOLUMELEASE_ENFORCEMENT": level,
    }


def _start(tether: _Tether, args: Any, options: dict[str, Any]) -> _Program:
    """In a process group of its own, so that all of it can be ended."""
    # Not a thread that confines itself and starts it: the program must die with this process, or
    # it writes on while the next holder does, and that is asked for between fork and exec, by
    # calls of C that were looked up before.
    try:
        return _Program(
            args,
            tether=tether,
            preexec_fn=tether,
            process_group=0,
            **options,
        )
    except subprocess.SubprocessError as error:
        raise EnforcementMissing(
            f"the program was not started, because its sandbox could not be set up: {error}",
            level="landlock",
            reason=str(error),
        ) from None


class _Program(subprocess.Popen[Any]):
    """Is reaped by ``end`` alone. While it is not, the number of its process group can't become
    another group's, so that the group can be ended by it."""

    end: Callable[[Callable[[], int]], int] = staticmethod(lambda reap: reap())
    _child_created: bool
    """Of ``Popen``: whether there is something to reap."""

    def __init__(self, args: Any, *, tether: _Tether, **options: Any) -> None:
        tether.program = self
        super().__init__(args, **options)

    def wait(self, timeout: float | None = None) -> int:
        """As of ``Popen``, which asks it for everything but the quarter of a second that a Ctrl-C
        leaves to a program."""
        if self.returncode is not None:
            return self.returncode
        until = None if timeout is None else time.monotonic() + timeout
        pause = 0.0005
        while not self._has_ended(block=until is None):
            if until is not None and time.monotonic() >= until:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            time.sleep(pause)
            pause = min(2 * pause, _LOOK_SECONDS)
        return self.end(super().wait)

    def _has_ended(self, *, block: bool) -> bool:
        how = os.WEXITED | os.WNOWAIT | (0 if block else os.WNOHANG)
        try:
            return os.waitid(os.P_PID, self.pid, how) is not None
        except ChildProcessError:  # somebody else reaped it: ``Popen`` knows what to say
            return True


class _Tether:
    """Keeps a program until there is a watch on it.

    When an exception of a signal handler (Ctrl-C) ends the wait of ``Popen``, it lets go of a
    program that hangs between fork and exec, on a volume that does not answer; and it never knows
    the number of one when that came during the fork. Such a program would begin when the volume
    answers, under a lease that is somebody else's by then.
    """

    def __init__(self, rules: landlock.Ruleset | None) -> None:
        self._confinement = landlock.Confinement(-1 if rules is None else rules.number)
        self.program: _Program | None = None
        self._here, self._there = socket.socketpair()

    def __call__(self) -> None:
        """In the new process, before exec: it says its number, or can't go on (``EPIPE``)."""
        self._there.send(os.getpid().to_bytes(8, sys.byteorder), socket.MSG_NOSIGNAL)
        self._confinement()

    def end(self) -> None:
        """Nothing that was started goes on. One that hangs in the kernel dies when its call
        returns, and one that had not said its number is reaped with this process."""
        with self._here, self._there:
            program = self.program
            if program is None or getattr(program, "returncode", None) is not None:
                return
            self._here.shutdown(socket.SHUT_RD)  # what it has not said yet, it can't say any more
            number = getattr(program, "pid", None)
            if number is None:
                number = int.from_bytes(self._here.recv(8), sys.byteorder)
            if number:
                _kill(program, number)


def _kill(program: _Program, number: int) -> None:
    with suppress(OSError):
        os.kill(number, signal.SIGKILL)  # it may not be in its group yet
        os.killpg(number, signal.SIGKILL)
    program.pid, program._child_created = number, True  # as where nothing came in between
    with suppress(subprocess.TimeoutExpired):
        program.wait(_STUBBORN_SECONDS)


class _Watch:
    """Ends a program with the lease that it runs under, and with the block that it was run in."""

    def __init__(self, lease: Lease, share: Lease, process: _Program) -> None:
        self._lease = lease
        self._share = share
        self._process = process
        self._lock = threading.Lock()
        self._ended = False
        self._told = False
        self._kill_at = math.inf
        self._killers: list[threading.Timer] = []
        process.end = self._end

    def until_it_ends(self, given: Any, timeout: float | None) -> tuple[Any, Any]:
        """What it wrote. Errors: ``LeaseLost``, ``subprocess.TimeoutExpired``."""
        stop: Callable[[], None] | None = None
        try:
            stop = self._share._hosted.on_change(self._look)
            self._end_with_the_block()
            written: tuple[Any, Any] = self._process.communicate(given, timeout=timeout)
        finally:
            if stop is not None:
                stop()
            self._leave_the_block()
            self._kill_what_is_left()
            with suppress(subprocess.TimeoutExpired, ValueError):
                self._process.communicate(timeout=_STUBBORN_SECONDS)
            del self._process.end  # or they would keep each other, and the lease
        if self._told:
            self._share.check()
            self._lease.check()
        return written

    def _end_with_the_block(self) -> None:
        with self._lease._lock:
            self._lease._programs = (*self._lease._programs, self._block_ends)
        if self._lease._released:
            self._block_ends()

    def _leave_the_block(self) -> None:
        with self._lease._lock:
            mine = self._block_ends
            self._lease._programs = tuple(end for end in self._lease._programs if end != mine)

    def _look(self) -> None:
        """In the thread that watches the session: SIGTERM, and SIGKILL before another session
        may take over."""
        if self._share.lost:
            self._tell(self._share._hosted.last_seconds() / 2)

    def _block_ends(self) -> None:
        self._look()
        self._tell(_GRACE_SECONDS)  # its share keeps others out until it has ended

    def _tell(self, seconds: float) -> None:
        kill_at = time.monotonic() + seconds
        with self._lock:
            if self._ended or kill_at >= self._kill_at:
                return
            told, self._told = self._told, True
            self._kill_at = kill_at
        if not told:
            self._signal(signal.SIGTERM)
        timer = threading.Timer(seconds, self._signal, (signal.SIGKILL,))
        timer.daemon = True
        self._killers.append(timer)
        try:
            timer.start()
        except RuntimeError:  # no thread can be made: better at once than never
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with self._lock, suppress(OSError):
            if not self._ended and self._process.returncode is None:
                os.killpg(self._process.pid, number)

    def _end(self, reap: Callable[[], int]) -> int:
        """The program has ended and is not reaped. Told to end, its group gets the time that it
        was given, and is killed before the number can be another one's."""
        with self._lock:
            if self._ended or not self._told:  # what it left running is on its own
                self._ended = True
                return reap()
        while time.monotonic() < self._kill_at and _others_of(self._process.pid):
            time.sleep(_LOOK_SECONDS)
        self._signal(signal.SIGKILL)
        with self._lock:
            self._ended = True
            return reap()

    def _kill_what_is_left(self) -> None:
        """Of a program that is not reaped, because it goes on. Or a Ctrl-C had it reaped in the
        quarter of a second that it leaves to a program, when its group was told to end: numbers
        are given in turn, and this one is not another's so soon."""
        for killer in self._killers:
            killer.cancel()
        with self._lock, suppress(OSError):
            if not self._ended and (self._told or self._process.returncode is None):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._ended = True


def _others_of(group: int) -> bool:
    """Whether anybody but its leader lives in that process group, as far as this process sees."""
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == group:
            continue
        with suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:
            state, _, its = stat.read().rpartition(b") ")[2].split()[:3]
            if int(its) == group and state not in (b"Z", b"X"):
                return True
    return False
