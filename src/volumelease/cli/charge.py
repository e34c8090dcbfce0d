"""The command that ``worker`` is in charge of, and the duties of the first process of a container.

It is forked before anything else, and waits to be let go: a process with threads should not fork,
and nothing of the daemon is to be inherited. This process is the daemon itself, so that its end is
the end of the container: as PID 1 it can't be killed from inside.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NoReturn, Self

from volumelease.daemon import admission
from volumelease.daemon.memory import keep_together
from volumelease.daemon.running import Daemon
from volumelease.leases.volumes import Surroundings

from . import processes
from .showing import Showing
from .speech import complain, note

_HANDED_ON: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGCONT,
)
_ENDING: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
_LEFT_SECONDS: Final = 0.3
"""What the command left running may end by itself for so long."""

_STUCK_SECONDS: Final = 0.5
"""A process that was killed and hangs in the kernel is not waited for any longer."""

_CLOSE_SECONDS: Final = 1.0
NOT_FOUND: Final = 127


class Charge:
    """One command, forked and waiting."""

    def __init__(
        self, words: Sequence[str], grace_seconds: float, environment: Mapping[str, str]
    ) -> None:
        self.words = tuple(words)
        self.grace_seconds = grace_seconds
        self.status: int | None = None
        waits, self._go = os.pipe()
        here = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._go)
            _become(self.words, {**os.environ, **environment}, waits, here)
        os.close(waits)

    def let_go(self) -> None:
        """Let it begin."""
        os.write(self._go, b"!")
        os.close(self._go)

    def cancel(self) -> None:
        """It never begins."""
        os.close(self._go)

    def send(self, number: int) -> None:
        if self.status is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def bury(self) -> None:
        """Bury everything that ended: orphans become this process's children."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.pid:
                    self.status = status

    @property
    def exit_code(self) -> int:
        assert self.status is not None
        code = os.waitstatus_to_exitcode(self.status)
        return code if code >= 0 else 128 - code


def _become(
    words: tuple[str, ...], environment: dict[str, str], waits: int, parent: int
) -> NoReturn:
    """In the child: wait, then become the command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # one handed on at once ends it by itself
    try:
        os.setpgid(0, 0)
        processes.die_with_parent()
        if os.read(waits, 1) and os.getppid() == parent:
            os.close(waits)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
                signal.signal(number, signal.SIG_DFL)
            os.execvpe(words[0], words, environment)
    except OSError as error:
        complain(f"{words[0]} can't be run: {error.strerror}", "check its name and its mode")
    finally:
        os._exit(NOT_FOUND)


def serve(charge: Charge, path: str) -> NoReturn:
    """Be the daemon, and see the command through. Errors, before it begins: those of ``Daemon``."""
    with _Early() as early:
        daemon, showing = _daemon(charge, path)
        attendant = _Attendant(charge, daemon, early)
        showing.start()
        daemon.run(attendant.begin, signals=False)
    attendant.clear()
    daemon.end_all(_CLOSE_SECONDS)
    os._exit(charge.exit_code if charge.status is not None else 1)


def _daemon(charge: Charge, path: str) -> tuple[Daemon, Showing]:
    try:
        if os.getpid() != 1:
            processes.adopt_orphans()
        admission.widen()  # the command was forked before, with the limit that it knows
        surroundings = Surroundings.of_this_process()
        showing = Showing(surroundings.settings, note)
        keep_together()
        daemon = Daemon(
            path,
            surroundings,
            note,
            ends_writers=True,
            keeps_life=os.getpid() == 1,
            opened=showing.opened,
        )
    except BaseException:
        charge.cancel()
        raise
    return daemon, showing


class _Early:
    """Notes what comes while the daemon starts, which can take seconds: the kernel discards what
    PID 1 has no handler for, and ends any other process by it. Limit: not before Python itself
    has started.

    Not by a mask: threads that are started meanwhile would keep it for good, and so would every
    program that they start.
    """

    def __init__(self) -> None:
        self._comes, notes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._notes = notes
        self._to = signal.set_wakeup_fd(notes, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _noted) for number in _HANDED_ON}

    def heard(self) -> tuple[int, ...]:
        """What came until the loop had handlers of its own: it hears the rest. Each once."""
        try:
            return tuple(dict.fromkeys(os.read(self._comes, 65_536)))
        except BlockingIOError:
            return ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Signals mean again what they did before."""
        signal.set_wakeup_fd(self._to)
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        os.close(self._comes)
        os.close(self._notes)


def _noted(number: int, frame: object) -> None:
    """Its number is in the pipe already."""


class _Attendant:
    """What goes on beside the daemon, on its loop."""

    def __init__(self, charge: Charge, daemon: Daemon, early: _Early) -> None:
        self._charge = charge
        self._daemon = daemon
        self._early = early
        self._told_to_end = False

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _HANDED_ON:
            loop.add_signal_handler(number, self._heard, number)
        loop.add_signal_handler(signal.SIGCHLD, self._buried)
        self._charge.let_go()
        for early in self._early.heard():
            self._heard(early)
        self._buried()

    def _heard(self, number: int) -> None:
        self._charge.send(number)
        if number in _ENDING and not self._told_to_end:
            self._told_to_end = True
            self._charge.send(signal.SIGCONT)  # who is stopped hears SIGTERM only then
            asyncio.get_running_loop().call_later(self._charge.grace_seconds, self._end)

    def _end(self) -> None:
        if self._charge.status is None:
            note(f"the command did not end in {self._charge.grace_seconds:g} s: it is killed")
            processes.send(processes.descendants(os.getpid()), signal.SIGKILL)
            asyncio.get_running_loop().call_later(_STUCK_SECONDS, self._daemon.stop)

    def _buried(self) -> None:
        self._charge.bury()
        if self._charge.status is not None:
            self._daemon.stop()

    def clear(self) -> None:
        """The command has ended: end what it left running, so that nothing of this container
        writes when its leases are given back."""
        left = processes.descendants(os.getpid())
        processes.send(left, signal.SIGTERM)
        processes.send(left, signal.SIGCONT)
        began = time.monotonic()
        while left and time.monotonic() - began < _LEFT_SECONDS + _STUCK_SECONDS:
            time.sleep(0.01)
            if time.monotonic() - began > _LEFT_SECONDS:
                processes.send(left, signal.SIGKILL)
            self._charge.bury()
            left = processes.descendants(os.getpid())
        if left:
            note(f"{left[0]} does not die; the volume may hang. Its leases end with their ttl")
            os._exit(self._charge.exit_code if self._charge.status is not None else 1)
