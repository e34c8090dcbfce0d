"""What ``hold`` does while it waits for its lease and while its command runs.

Threads wait, each for one thing, and say what happened; the main thread decides. Nothing here
touches the volume: that is the keeper's part, so a volume that hangs keeps neither the command
from being ended nor this process from ending.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias, assert_never

from volumelease.errors import LeaseError, LeaseLost, LeaseTimeout
from volumelease.paths.lists import parted

from . import orders, processes, sandboxing, speech
from .keeper import unpacked
from .orders import Message
from .reins import Reins, Servant

_LAST_WORDS: Final = frozenset({orders.REFUSED, orders.LOST, orders.RELEASED})
_ENDING: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
_PING_SECONDS: Final = 0.1
_STUBBORN_SECONDS: Final = 3.0
_KILL_AGAIN_SECONDS: Final = 0.02
_KILL_SLOWLY_SECONDS: Final = 0.5
_RELEASE_SECONDS: Final = 3.0
_STUCK_SECONDS: Final = 0.5
_HEARING_SECONDS: Final = 0.1
"""For what the warden reported while this process was stopped."""

_WAIT_LONGER: Final = "Wait longer (--timeout), or see who holds it: volumelease status"


class CommandRefused(LeaseError):
    """The command could not be executed. Facts: ``errno``."""


@dataclass(frozen=True, slots=True)
class Signalled:
    number: int
    to_group: bool
    """The terminal sent it to the whole foreground group."""


@dataclass(frozen=True, slots=True)
class FromKeeper:
    """A report, or None: it is gone."""

    message: Message | None


@dataclass(frozen=True, slots=True)
class FromWarden:
    """A report, or None: it is gone."""

    message: Message | None


Event: TypeAlias = Signalled | FromKeeper | FromWarden


class Holding:
    """One lease and one command."""

    release_seconds = _RELEASE_SECONDS

    def __init__(self, reins: Reins) -> None:
        self._reins = reins
        self._warden = reins.warden
        self._keeper = reins.keeper
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._keeper_done = threading.Event()
        self._token = 0
        self._paths = ""
        self._grace = 0.0
        self._deadline = 0.0
        self._in_time = True
        self._ran = True
        self._lost_at = float("inf")
        self._force_at = float("inf")
        self._loss = ""
        self._status: int | None = None
        self._refusal = 0
        self._told_to_end = False
        self._leave_draft = False

    def run(self) -> int:
        """Returns the exit code. Errors: those of ``volume_lease``; ``CommandRefused``."""
        self._start(self._hear_signals)
        self._start(lambda: self._hear(self._warden, FromWarden))
        self._start(lambda: self._hear(self._keeper, FromKeeper))
        self._start(self._ping)
        try:
            code = self._wait_for_lease()
            return self._run_command() if code is None else code
        finally:
            self._warden.orders.close()  # whatever happened here: first the command ends ...
            self._warden.bury()
            self._release()  # ... and then the lease

    # ---- the threads

    def _start(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def _hear_signals(self) -> None:
        while True:
            heard = signal.sigwaitinfo(self._reins.signals)
            if processes.hung_up(heard):  # without hold, the command had led the session
                self._events.put(Signalled(signal.SIGHUP, to_group=False))
                self._events.put(Signalled(signal.SIGCONT, to_group=False))
            else:
                self._events.put(Signalled(heard.si_signo, to_group=heard.si_code > 0))

    def _hear(self, servant: Servant, event: Callable[[Message | None], Event]) -> None:
        while True:
            message = orders.read(servant.reports_from)
            self._events.put(event(message))
            if servant is self._keeper and (message is None or message.kind in _LAST_WORDS):
                self._keeper_done.set()
            if message is None:
                return

    def _ping(self) -> None:
        while True:
            self._keeper.tell(orders.PING)
            time.sleep(_PING_SECONDS)

    # ---- before the command

    def _wait_for_lease(self) -> int | None:
        """None once it is granted, else the code to exit with."""
        while True:
            event = self._events.get()
            match event:
                case FromKeeper(Message(orders.GRANTED) as granted):
                    self._token, self._paths = granted.number, granted.text
                    if self._holds_until(granted.at):
                        return None
                case FromKeeper(Message(orders.DEADLINE, _, at)):
                    if self._holds_until(at):
                        return None
                case FromKeeper(Message(orders.GRACE, _, grace)):
                    self._grace = grace
                case FromKeeper(Message(orders.NOTE, _, _, text)):
                    self._say(text)
                case FromKeeper(Message(orders.SANDBOX, _, _, plan)):
                    self._warden.tell(orders.SANDBOX, text=plan)
                case FromKeeper(Message(orders.REFUSED, _, _, text)):
                    raise _refusal(text)
                case FromKeeper(Message(orders.LOST, _, _, reason)):
                    raise self._lost_early(reason)
                case Signalled(signal.SIGWINCH):
                    continue
                case Signalled(number):
                    return 128 + number
                case FromKeeper(Message(orders.PRESENT | orders.DRAFT | orders.PROGRESS) as early):
                    code = self._heard_early(early)
                    if code is not None:
                        return code
                case FromWarden() | FromKeeper():
                    raise LeaseError(
                        "a process of hold was killed before the command started",
                        advice="Run it again",
                    )
                case other:
                    assert_never(other)

    def _holds_until(self, at: float) -> bool:
        """Note the deadline. False when it has passed, because this process was stopped: then the
        keeper has said more since, a newer one or that the lease is lost."""
        self._deadline = at
        return _now() < at

    def _lost_early(self, reason: str) -> LeaseError:
        if not self._paths:
            return LeaseError(f"the lease was lost at once: {reason}", advice="Try again")
        self._in_time = self._ran = False
        self._loss = reason
        return self._lost()

    def _heard_early(self, message: Message) -> int | None:
        """For ``populate``, whose keeper has more to tell before the command starts."""
        raise AssertionError(message)

    def _say(self, text: str) -> None:
        speech.note(text)

    # ---- while it runs

    def _run_command(self) -> int:
        self._warden.tell(orders.GRACE, at=self._grace)
        self._warden.tell(orders.RUN, self._token, self._deadline, self._paths)
        forced, gone_at = self._until_all_is_gone()
        if forced or gone_at >= min(self._lost_at, self._deadline):
            self._in_time = False
            raise self._lost()
        if self._refusal < 0:
            raise sandboxing.failed(-self._refusal)
        if self._refusal:
            raise CommandRefused(os.strerror(self._refusal), errno=self._refusal)
        assert self._status is not None
        code = os.waitstatus_to_exitcode(self._status)
        return code if code >= 0 else 128 - code

    def _until_all_is_gone(self) -> tuple[bool, float]:
        """(whether the command was ended because of the lease, when nothing was left of it)."""
        while True:
            event = self._next_event()
            match event:
                case None:
                    speech.note("the command does not end, so it is killed from here")
                    return True, self._end_by_force()
                case FromWarden(None):
                    self._loss = "the process that watched over the command was killed"
                    return True, self._end_by_force()
                case FromWarden(Message(orders.GONE, forced, at)):
                    self._ran = forced != 2
                    return bool(forced), at
                case FromWarden(message):
                    if message is not None:
                        self._note(message)
                case FromKeeper(Message(orders.DEADLINE, _, at)):
                    self._deadline = at
                    self._warden.tell(orders.DEADLINE, at=at)
                case FromKeeper(Message(orders.NOTE, _, _, text)):
                    speech.note(text)
                case FromKeeper(Message(orders.LOST, _, at, reason)):
                    self._lose(at, reason)
                case FromKeeper():
                    self._lose(_now(), "the process that kept it was killed")
                case Signalled(number, to_group):
                    self._told_to_end |= number in _ENDING
                    if not (to_group and self._reins.shared_group):
                        self._warden.tell(orders.FORWARD, number)
                case other:
                    assert_never(other)

    def _next_event(self) -> Event | None:
        """None when the warden should have ended the command and did not."""
        if self._force_at == float("inf"):
            return self._events.get()
        try:
            return self._events.get(timeout=max(0.0, self._force_at - _now()))
        except queue.Empty:
            return None

    def _lose(self, at: float, reason: str) -> None:
        if self._loss:
            return
        self._loss = reason
        self._lost_at = at
        self._force_at = max(_now() + _HEARING_SECONDS, min(at, self._deadline) + 1.5 * self._grace)
        self._warden.tell(orders.END)

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
        nothing was left. The keeper has to outlive them all."""
        started = _now()
        said = False
        while True:
            beneath = [p for p in processes.descendants(os.getpid()) if p.pid != self._keeper.pid]
            beyond = processes.send(beneath, signal.SIGKILL)
            _bury_all()
            if not beneath:
                return _now()
            if not said and _now() - started > _STUBBORN_SECONDS:
                said = True
                stuck = f"{beneath[0]} does not die; the volume may hang"
                speech.note(processes.beyond_reach(beyond) if beyond else stuck)
            time.sleep(_KILL_SLOWLY_SECONDS if said else _KILL_AGAIN_SECONDS)

    def _lost(self) -> LeaseLost:
        shown = ", ".join(parted(self._paths))
        reason = self._loss or "no beat was confirmed in time"
        what = "the command and all it started were ended"
        advice = "Run it again; what it wrote in place may be half done"
        if not self._ran:
            what, advice = "the command was not started", "Run it again"
        return LeaseLost(
            f"the lease on {shown} (token {self._token}) was lost: {reason}; {what}",
            advice=advice,
            path=shown,
            token=self._token,
            reason=reason,
        )

    # ---- the end

    def _release(self) -> None:
        """Let the keeper let go, and don't wait for a volume that hangs: a lease that is not
        given back ends with its ttl."""
        self._keeper.tell(orders.RELEASE, int(self._leave_draft))
        self._keeper_done.wait(self.release_seconds if self._in_time else _STUCK_SECONDS)
        self._keeper.kill()
        _bury_all()


def _refusal(text: str) -> BaseException:
    error = unpacked(text)
    if isinstance(error, LeaseTimeout):
        return LeaseTimeout(error.what, advice=_WAIT_LONGER, **error.facts)
    return error


def _bury_all() -> None:
    """Bury what has ended, and wait for nobody."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
