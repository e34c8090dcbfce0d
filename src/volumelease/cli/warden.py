"""The warden: the process between ``hold`` and its command.

The lease is acquired in the name of the warden's process, so a proof that its session is dead
counts only when the warden is gone too; and the warden is gone only after the command and every
descendant of it is. It ends them itself

* when the deadline of the lease passes and no newer one was told: ``hold`` may be stopped, or the
  heartbeat hangs. SIGTERM at the deadline, SIGKILL half of the time later that lies between the
  deadline and the earliest moment at which another session can take over (``core.liveness``);
* when its pipe closes: ``hold`` was killed;
* when it is told that the lease is lost.

And it starts nothing once the deadline has passed: ``hold`` may have been stopped while it waited,
and then says "run" long after the lease was lost.

It is forked before ``hold`` starts a thread or touches the volume, never touches the volume
itself, and adopts orphans, so a descendant that forked twice stays beneath it. Limits: SIGKILL to
``hold`` and to the warden at the same moment leaves the command's children running (the command
itself dies with its parent); a process that hangs in the kernel dies when its call returns, and
until then the warden stays, as it does for one of another user (``sudo``), which it may not signal:
that is told, and a person has to end it.
"""

from __future__ import annotations

import errno
import mmap
import os
import select
import signal
import struct
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from volumelease.errors import LeaseError

from . import orders, processes, speech
from .orders import Message
from .processes import Process

LEFTOVER_QUIET_SECONDS: Final = 0.3
"""What the command left running may end by itself for so long: the tee of a shell's ``> >(tee)``
ends a moment after its writer."""

LEFTOVER_GRACE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1
"""The clock of poll stands still while the machine is suspended; so it never sleeps for long."""

_KILL_AGAIN_SECONDS: Final = 0.02
_KILL_SLOWLY_SECONDS: Final = 0.5
_LATE: Final = b"late"
"""Instead of an errno, from the command's process: the deadline passed before it could execute."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How the command is started. ``group`` is the process group it joins, 0 for its own;
    ``mask`` the signals that were blocked before ``hold`` blocked its own; ``plan`` what a sandbox
    keeps it to, if there is one."""

    command: tuple[str, ...]
    group: int
    mask: frozenset[int]
    shared: bool = False
    plan: str = ""


def serve(terms: Terms, orders_from: int, reports_to: int) -> NoReturn:
    """Be the warden; the process ends here."""
    try:
        warden = _Warden(terms, orders_from, reports_to)
        try:
            warden.run()
        finally:
            warden.end_everything()
    except BaseException:  # noqa: BLE001 - the process that it is a copy of must not go on here
        traceback.print_exc()
    finally:
        os._exit(0)


class _Warden:
    def __init__(self, terms: Terms, orders_from: int, reports_to: int) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals() - {signal.SIGCHLD})
        os.setpgid(0, 0)  # what kills hold's whole group must not kill the warden first
        processes.adopt_orphans()
        processes.rename("lease-warden")
        self._terms = terms
        self._orders = orders_from
        self._reports = reports_to
        self._draft = ""
        self._plan = ""
        self._alone = False
        self._command = 0
        self._refusal = -1
        self._status: int | None = None
        self._empty = True
        self._reported = False
        self._deadline = float("inf")
        self._until = _Moment()
        self._late = False
        self._grace = 0.0
        self._forced = False
        self._kill_at = float("inf")
        self._leftover_since: float | None = None
        self._passes = 0
        self._told_of_beyond = False
        self._woken = self._wake_on_child()

    def _wake_on_child(self) -> int:
        """A descriptor that becomes readable when a child ends."""
        woken, wake = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        return woken

    def run(self) -> None:
        while not (self._alone and self._empty):
            self._wait()
            self._reap()
            self._act(_now())

    def end_everything(self) -> None:
        while not self._empty:
            self._kill()
            time.sleep(self._pause_between_kills())
            self._reap()

    # ---- what happens

    def _wait(self) -> None:
        waited_for = [self._woken] if self._alone else [self._woken, self._orders]
        readable = select.select(waited_for, [], [], self._pause())[0]
        if self._woken in readable:
            os.read(self._woken, 4096)
        if self._orders in readable:
            message = orders.read(self._orders)
            if message is None:
                self._alone = True
                self._end(_now())
            else:
                self._obey(message)

    def _pause(self) -> float:
        if self._empty:
            return 3600.0  # nothing runs: only an order, or the end of hold, can matter
        left = self._kill_at - _now()
        return min(left, _LOOK_SECONDS) if left > 0 else self._pause_between_kills()

    def _pause_between_kills(self) -> float:
        return _KILL_AGAIN_SECONDS if self._passes < 50 else _KILL_SLOWLY_SECONDS

    def _obey(self, message: Message) -> None:
        if message.kind == orders.GRACE:
            self._grace = message.at
        elif message.kind == orders.DRAFT:
            self._draft = message.text
        elif message.kind == orders.SANDBOX:
            self._plan = message.text
        elif message.kind == orders.RUN:
            self._assume_until(message.at)
            self._start_in_time(message)
        elif message.kind == orders.DEADLINE:
            self._assume_until(max(self._deadline, message.at))
        elif message.kind == orders.FORWARD:
            self._forward(message.number)
        elif message.kind == orders.END:
            self._end(_now())

    def _act(self, now: float) -> None:
        if not self._command:
            return
        if self._empty:
            if not self._reported:
                self._reported = True
                how = 2 if self._late else int(self._forced)
                orders.write(self._reports, Message(orders.GONE, how, now))
            return
        if now >= self._deadline and not self._forced:
            self._end(now)
        if self._status is not None and not self._forced:
            self._clear_leftovers(now)
        if now >= self._kill_at:
            self._kill()

    def _assume_until(self, at: float) -> None:
        self._deadline = at
        self._until.set(at)

    # ---- the command

    def _start_in_time(self, message: Message) -> None:
        now = _now()
        if now < message.at:
            self._start(message)
        else:
            orders.write(self._reports, Message(orders.GONE, 2, now))

    def _start(self, message: Message) -> None:
        refusal, tell_refusal = os.pipe()
        environment = dict(os.environ)
        environment["VOLUMELEASE_TOKEN"] = str(message.number)
        environment["VOLUMELEASE_PATHS"] = message.text
        environment["VOLUMELEASE_MODE"] = "shared" if self._terms.shared else "exclusive"
        environment["VOLUMELEASE_ENFORCEMENT"] = "landlock" if self._plan else "none"
        terms = replace(self._terms, plan=self._plan)
        if self._draft:
            environment["VOLUMELEASE_DRAFT"] = self._draft
            words = [word.replace("{}", self._draft) for word in terms.command]
            terms = replace(terms, command=tuple(words))
        parent = os.getpid()
        try:
            self._command = os.fork()
        except OSError as error:
            orders.write(self._reports, Message(orders.FAILED, error.errno or 0))
            orders.write(self._reports, Message(orders.GONE, at=_now()))
            return
        if self._command == 0:
            _become(terms, environment, parent, tell_refusal, self._until)
        os.close(tell_refusal)
        self._refusal = refusal
        self._empty = False
        _join_group(self._command, self._terms.group or self._command)

    def _forward(self, number: int) -> None:
        if not self._command:
            return
        if self._status is not None:
            self._kill_at = min(self._kill_at, _now())  # somebody is tired of waiting
            return
        try:
            self._signal_command(number)
        except PermissionError:
            command = processes.look_up(self._command) or "the command"
            name = signal.Signals(number).name
            self._say(f"{name} was not handed on: {command} runs as another user")

    def _signal_command(self, number: int) -> None:
        with suppress(ProcessLookupError):  # it moved to another process group
            if not self._terms.group:
                os.killpg(self._command, number)
                return
        with suppress(ProcessLookupError):
            os.kill(self._command, number)

    def _reap(self) -> None:
        """Bury what ended. Whoever has no child has no descendant: then everything is gone."""
        while not self._empty:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._empty = True
                return
            if pid == 0:
                return
            if pid == self._command:
                self._status = status
                refusal = os.read(self._refusal, 16)
                if refusal == _LATE:
                    self._late = True
                elif refusal:
                    orders.write(self._reports, Message(orders.FAILED, int(refusal)))
                else:
                    orders.write(self._reports, Message(orders.ENDED, status))

    # ---- the end

    def _end(self, now: float) -> None:
        """The lease is lost, or ``hold`` is: SIGTERM now, SIGKILL before another may take over."""
        if self._empty:
            return
        self._forced = True
        self._kill_at = min(self._kill_at, min(now, self._deadline) + self._grace)
        self._ask_to_end()

    def _clear_leftovers(self, now: float) -> None:
        if self._leftover_since is None:
            self._leftover_since = now
        elif self._kill_at == float("inf") and now - self._leftover_since > LEFTOVER_QUIET_SECONDS:
            left = processes.descendants(os.getpid())
            orders.write(self._reports, Message(orders.LEFT, len(left), now, processes.named(left)))
            self._kill_at = now + LEFTOVER_GRACE_SECONDS
            self._ask_to_end()

    def _ask_to_end(self) -> None:
        everything = processes.descendants(os.getpid())
        beyond = processes.send(everything, signal.SIGTERM)
        processes.send(everything, signal.SIGCONT)  # who is stopped hears SIGTERM only then
        self._tell_of(beyond)

    def _kill(self) -> None:
        self._passes += 1
        self._tell_of(processes.send(processes.descendants(os.getpid()), signal.SIGKILL))

    def _tell_of(self, beyond: list[Process]) -> None:
        """Once: it stays so until they end."""
        if beyond and not self._told_of_beyond:
            self._told_of_beyond = True
            self._say(processes.beyond_reach(beyond))

    def _say(self, text: str) -> None:
        """Tell a person, also when ``hold`` is stopped. In a thread: whoever reads stderr may not,
        and it may be a file on a volume that hangs."""
        with suppress(RuntimeError):  # no thread can be made
            threading.Thread(target=speech.note, args=(text,), daemon=True).start()


class _Moment:
    """A moment that the warden sets and the command's process sees until it executes its program.
    A deadline, which may move while the sandbox is prepared."""

    _FORM: Final = struct.Struct("=d")

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, self._FORM.size)

    def set(self, at: float) -> None:
        self._shared[:] = self._FORM.pack(at)

    def has_come(self) -> bool:
        return _now() >= float(self._FORM.unpack(self._shared[:])[0])


def _become(
    terms: Terms, environment: dict[str, str], parent: int, tell_refusal: int, until: _Moment
) -> NoReturn:
    """In the child: become the command, unless ``until`` has come: the sandbox took its time, or
    this process and the warden stood still."""
    try:
        _join_group(0, terms.group)
        processes.die_with_parent()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # else one that comes now is swallowed
        signal.pthread_sigmask(signal.SIG_SETMASK, terms.mask)
        confined = not terms.plan or _confine(terms.plan, tell_refusal)
        if confined and until.has_come():
            os.write(tell_refusal, _LATE)
        elif confined and os.getppid() == parent:
            os.execvpe(terms.command[0], terms.command, environment)
    except OSError as error:
        os.write(tell_refusal, str(error.errno).encode())
    finally:
        os._exit(127)


def _confine(plan: str, tell_refusal: int) -> bool:
    """In the child, which may hang here as the command may later: only the leased paths of the
    volume can be written from now on. Returns whether that is so."""
    from volumelease.enforce import landlock, sandbox

    try:
        landlock.confine(sandbox.ruleset(sandbox.decoded(plan)))
    except (OSError, LeaseError) as error:
        code = getattr(error, "errno", None) or errno.EINVAL
        os.write(tell_refusal, str(-code).encode())
        return False
    return True


def _join_group(pid: int, group: int) -> None:
    """Both sides of the fork do it, so that neither signals a group that isn't there yet."""
    try:
        os.setpgid(pid, group)
    except OSError:
        return  # it has ended, or executes its program already: the other side did it


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
