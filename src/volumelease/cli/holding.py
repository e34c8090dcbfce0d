"""What ``hold`` does while it waits for its lease and while its command runs.

Threads wait, each for one thing, and say what happened; the main thread decides. No thread but
this package's own touches the volume, so a volume that hangs does not keep the command from being
ended.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from volumelease.clock import SystemClock
from volumelease.core.liveness import Timing
from volumelease.errors import LeaseError, LeaseLost, LeaseTimeout
from volumelease.host import this_process
from volumelease.leases.asking import volume_lease
from volumelease.leases.lease import Lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.model import Client

from . import orders, processes, speech
from .orders import Message
from .reins import Reins

_DEADLINE_LOOK_SECONDS: Final = 0.1
_STUBBORN_SECONDS: Final = 3.0
_HEARING_SECONDS: Final = 0.1
"""For what the warden reported while this process was stopped."""

_WAIT_LONGER: Final = "Wait longer (--timeout), or see who holds it: volumelease status"


class CommandRefused(LeaseError):
    """The command could not be executed. Facts: ``errno``."""


@dataclass(frozen=True, slots=True)
class Signalled:
    number: int
    by_terminal: bool


@dataclass(frozen=True, slots=True)
class Granted:
    lease: Lease
    timing: Timing


@dataclass(frozen=True, slots=True)
class Refused:
    error: BaseException


@dataclass(frozen=True, slots=True)
class Lost:
    at: float


@dataclass(frozen=True, slots=True)
class Reported:
    message: Message


@dataclass(frozen=True, slots=True)
class WardenGone:
    pass


Event: TypeAlias = Signalled | Granted | Refused | Lost | Reported | WardenGone


@dataclass(frozen=True, slots=True)
class Wish:
    """What to hold."""

    paths: tuple[str, ...]
    shared: bool
    timeout: float | None
    reason: str


class Holding:
    """One lease and one command."""

    def __init__(self, reins: Reins, wish: Wish) -> None:
        self._reins = reins
        surroundings = Surroundings.of_this_process()._replace(report=speech.note)
        self._volumes = Volumes(surroundings)
        self._wanted = volume_lease(
            *wish.paths,
            shared=wish.shared,
            timeout=wish.timeout,
            on_lost="ignore",
            reason=wish.reason,
            client=_client(reins.pid),
            volumes=self._volumes,
        )
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._clock = SystemClock()
        self._released = threading.Event()
        self._told_deadline = 0.0
        self._lost_at = float("inf")
        self._force_at = float("inf")
        self._grace = 0.0
        self._warden_gone = False
        self._status: int | None = None
        self._refusal = 0

    def run(self) -> int:
        """Returns the exit code. Errors: those of ``volume_lease``; ``CommandRefused``."""
        for work in (self._hear_signals, self._hear_warden, self._acquire):
            self._start(work)
        try:
            outcome = self._wait_for_lease()
            return outcome if isinstance(outcome, int) else self._run_command(outcome)
        finally:
            self._released.set()
            self._reins.dismiss()  # before the lease goes, whatever happened here
            self._volumes.close()

    # ---- the threads

    def _start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=work.__name__, daemon=True).start()

    def _hear_signals(self) -> None:
        while True:
            heard = signal.sigwaitinfo(self._reins.signals)
            self._events.put(Signalled(heard.si_signo, by_terminal=heard.si_code > 0))

    def _hear_warden(self) -> None:
        while True:
            message = orders.read(self._reins.reports_from)
            if message is None:
                self._events.put(WardenGone())
                return
            self._events.put(Reported(message))

    def _acquire(self) -> None:
        try:
            lease = self._wanted.__enter__()
            identity = self._volumes.identity(self._volumes.find(lease.paths[0])[0])
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self._events.put(Refused(error))
        else:
            self._events.put(Granted(lease, Timing(identity.ttl)))

    def _tell_deadlines(self, lease: Lease) -> None:
        while not self._released.wait(_DEADLINE_LOOK_SECONDS):
            deadline = self._deadline_of(lease)
            if deadline > self._told_deadline + 0.01:
                self._told_deadline = deadline
                self._reins.order(Message(orders.DEADLINE, at=deadline))

    def _deadline_of(self, lease: Lease) -> float:
        # The clock is read first: a pause between the two readings makes the answer too early,
        # and the other way round it would be too late.
        now = self._clock.boottime()
        remaining = lease.remaining
        return now + remaining if remaining > 0 else 0.0

    # ---- before the command

    def _wait_for_lease(self) -> Granted | int:
        while True:
            match self._events.get():
                case Granted() as granted:
                    return granted
                case Refused(LeaseTimeout() as error):
                    raise LeaseTimeout(error.what, advice=_WAIT_LONGER, **error.facts)
                case Refused(error):
                    raise error
                case Signalled(number, _):
                    if number != signal.SIGWINCH:
                        return 128 + number
                case WardenGone():
                    raise LeaseError(
                        "the process that was to watch over the command was killed",
                        advice="Run the command again",
                    )
                case Lost() | Reported():
                    raise AssertionError("nothing runs yet")
                case other:
                    assert_never(other)

    # ---- while it runs

    def _run_command(self, granted: Granted) -> int:
        lease = granted.lease
        # Half of the time that is sure to pass between our last moment and another's first.
        timing = granted.timing
        self._grace = (timing.margin - timing.tolerance + timing.cache) / 2
        self._told_deadline = self._deadline_of(lease)
        if not self._told_deadline:
            raise self._loss(lease)
        self._reins.order(Message(orders.GRACE, at=self._grace))
        paths = os.pathsep.join(lease.paths)
        self._reins.order(Message(orders.RUN, lease.token, self._told_deadline, paths))
        lease.on_lost(lambda lease: self._events.put(Lost(self._clock.boottime())))
        self._start(lambda: self._tell_deadlines(lease))
        forced, gone_at = self._until_all_is_gone()
        if not forced and gone_at < min(self._lost_at, self._told_deadline):
            self._wanted.__exit__(None, None, None)
            return self._exit_code()
        raise self._loss(lease)

    def _until_all_is_gone(self) -> tuple[bool, float]:
        """(whether the command was ended because of the lease, when nothing was left of it)."""
        while True:
            event = self._next_event()
            match event:
                case None:
                    speech.note("the command does not end, so it is killed from here")
                    return True, self._end_by_force()
                case WardenGone():
                    self._warden_gone = True
                    return True, self._end_by_force()
                case Lost(at):
                    self._lost_at = min(self._lost_at, at)
                    soon = self._clock.boottime() + _HEARING_SECONDS
                    self._force_at = max(soon, min(at, self._told_deadline) + 1.5 * self._grace)
                    self._reins.order(Message(orders.END))
                case Signalled(number, by_terminal):
                    if not (by_terminal and self._reins.shared_group):
                        self._reins.order(Message(orders.FORWARD, number))
                case Reported(Message(orders.GONE, forced, at)):
                    return bool(forced), at
                case Reported(message):
                    self._note(message)
                case Granted() | Refused():
                    raise AssertionError("there is one lease")
                case other:
                    assert_never(other)

    def _next_event(self) -> Event | None:
        """None when the warden should have ended the command and did not."""
        if self._force_at == float("inf"):
            return self._events.get()
        left = self._force_at - self._clock.boottime()
        try:
            return self._events.get(timeout=max(0.0, left))
        except queue.Empty:
            return None

    def _note(self, message: Message) -> None:
        if message.kind == orders.FAILED:
            self._refusal = message.number
        elif message.kind == orders.ENDED:
            self._status = message.number
        elif message.kind == orders.LEFT:
            one = message.number == 1
            speech.note(
                f"the command ended and left {'a process' if one else 'processes'} running, "
                f"{message.text}: {'it is' if one else 'they are'} ended, because without the "
                f"lease {'it' if one else 'they'} must not write"
            )

    def _end_by_force(self) -> float:
        """Kill the warden and everything that was beneath it: it all becomes ours. Returns when
        nothing was left."""
        started = self._clock.boottime()
        said = False
        while True:
            beneath = processes.descendants(os.getpid())
            processes.send(beneath, signal.SIGKILL)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    continue
            if not beneath:
                return self._clock.boottime()
            if not said and self._clock.boottime() - started > _STUBBORN_SECONDS:
                said = True
                speech.note(f"{beneath[0]} does not die; the volume may hang")
            self._released.wait(0.02)

    # ---- what to say about it

    def _exit_code(self) -> int:
        if self._refusal:
            raise CommandRefused(os.strerror(self._refusal), errno=self._refusal)
        assert self._status is not None
        code = os.waitstatus_to_exitcode(self._status)
        return code if code >= 0 else 128 - code

    def _loss(self, lease: Lease) -> LeaseLost:
        shown = ", ".join(lease.paths)
        reason = "its command could not be told in time that it is still held"
        if self._warden_gone:
            reason = "the process that watched over the command was killed"
        else:
            try:
                lease.check()
            except LeaseLost as error:
                reason = str(error.facts["reason"])
        return LeaseLost(
            f"the lease on {shown} (token {lease.token}) was lost: {reason}; the command and all "
            "it started were ended",
            advice="Run it again; what it wrote in place may be half done",
            path=shown,
            token=lease.token,
            reason=reason,
        )


def _client(pid: int) -> Client:
    facts = this_process(pid)
    return Client(facts.pid, facts.start_time)
