"""Connections to the daemon's socket, with blocking calls that all have an end.

A thread that asks talks on a connection of its own, so that nothing but the daemon stands between
it and its reply; another connection hears events.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, Self

from volumelease.errors import DaemonUnavailable, LeaseError
from volumelease.wire.dialogue import (
    NO_COMMON_VERSION,
    VERSIONS,
    Answered,
    ClientSide,
    Refused,
    Told,
    Welcome,
    Working,
)

SILENCE_SECONDS: Final = 10.0
"""A daemon that lives says every two seconds that it is at work. One that says nothing for so
long is stopped."""

CONNECT_SECONDS: Final = 3.0
"""How long a daemon that is being restarted may be away."""

REDIAL_SECONDS: Final = SILENCE_SECONDS
"""For how long one question is asked again of a daemon that hangs up again and again."""

_LASTING_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.02
_MOST_IDLE: Final = 16
_CREDENTIALS: Final = struct.Struct("3i")
_TIME: Final = struct.Struct("@ll")


class HungUp(Exception):
    """The daemon closed the connection: it ended, or was restarted."""


class Line:
    """One connection. For one thread at a time.

    Errors of all: ``HungUp``; ``DaemonUnavailable`` if nothing comes for ``SILENCE_SECONDS``;
    what the daemon answers.
    """

    def __init__(self, path: str, *, events: bool) -> None:
        import socket

        self._side = ClientSide()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._heard: list[Any] = []
        try:
            # Not settimeout(): that asks whether it is ready before every call.
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self._socket.setsockopt(
                    socket.SOL_SOCKET, option, _TIME.pack(int(SILENCE_SECONDS), 0)
                )
            self._socket.connect(path)
            self._check_user()
            self._send(self._side.hello("python", events=events))
            before = time.clock_gettime(time.CLOCK_BOOTTIME)
            self.welcome = self._welcomed()
            self._check_clock(before)
        except BaseException:
            self._socket.close()
            raise

    def _check_user(self) -> None:
        """Whoever listens there says who holds what: a stranger in /tmp must not."""
        import socket

        size = _CREDENTIALS.size
        raw = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        uid = _CREDENTIALS.unpack(raw)[1]
        if uid not in (os.geteuid(), 0):
            raise DaemonUnavailable(
                f"{self._path} belongs to a daemon of user {uid}, and this process is of user "
                f"{os.geteuid()}",
                advice="Set VOLUMELEASE_SOCKET to one of your own, or of root",
                socket=self._path,
                root=None,
                seconds=0.0,
            )

    def _check_clock(self, before: float) -> None:
        """Deadlines on the page are boottime: of another time namespace they would be nonsense."""
        theirs = self.welcome.get("boottime")
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        if not isinstance(theirs, float | int) or not before - 0.1 <= theirs <= now + 0.1:
            raise DaemonUnavailable(
                f"the daemon at {self._path} says that the host has run for {theirs} s, and here "
                f"that are {now:.3f} s: it is in another time namespace",
                advice="Run a daemon in the same container as this process",
                socket=self._path,
                root=None,
                seconds=0.0,
            )

    def _welcomed(self) -> dict[str, Any]:
        while True:
            event = self._next()
            if isinstance(event, Welcome) and event.version in VERSIONS:
                return event.about
            if isinstance(event, Welcome):
                raise self._other_version(f"it answers in version {event.version}")
            if isinstance(event, Refused):
                if event.error.what.startswith(NO_COMMON_VERSION):
                    raise self._other_version(event.error.what)
                raise event.error

    def _other_version(self, why: str) -> DaemonUnavailable:
        ours = ", ".join(map(str, VERSIONS))
        return DaemonUnavailable(
            f"the daemon at {self._path} and this process have no protocol in common; here it is "
            f"version {ours}: {why}",
            advice="Restart the daemon with the volumelease that is installed here, or set "
            "VOLUMELEASE_SOCKET to another one (volumelease --version)",
            socket=self._path,
            root=None,
            seconds=0.0,
        )

    def ask(self, do: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        number, data = self._side.ask(do, fields)
        self._send(data)
        while True:
            event = self._next()
            if isinstance(event, Answered) and event.id == number:
                return event.answer
            if isinstance(event, Refused) and event.id in (number, None):
                raise event.error

    def attach(self, root: str, volume: str) -> dict[str, Any]:
        """What the daemon says of its session of that volume at ``root``. Errors: also
        ``DaemonUnavailable`` if it sees another one there, because its mounts are others."""
        about = self.ask("attach", {"path": root})
        if about.get("volume") != volume:
            raise DaemonUnavailable(
                f"the daemon at {self._path} sees the volume {about.get('volume')} at {root}, and "
                f"this process sees {volume}",
                advice="Run a daemon with the same mounts as this process, or set "
                "VOLUMELEASE_SOCKET to one",
                socket=self._path,
                root=root,
                seconds=0.0,
            )
        return about

    def listen(self) -> Told | None:
        """The next event; None when there was none for a while."""
        try:
            event = self._next()
        except DaemonUnavailable:
            return None
        return event if isinstance(event, Told) else None

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except BlockingIOError:
            raise self._silent() from None
        except OSError as error:
            raise HungUp(str(error)) from error

    def _next(self) -> Answered | Refused | Told | Welcome | Working:
        while not self._heard:
            try:
                data = self._socket.recv(65_536)
            except BlockingIOError:
                raise self._silent() from None
            except OSError as error:
                raise HungUp(str(error)) from error
            if not data:
                raise HungUp("the daemon closed the connection")
            self._heard = self._side.receive(data)
        event: Answered | Refused | Told | Welcome | Working = self._heard.pop(0)
        return event

    def _silent(self) -> DaemonUnavailable:
        return DaemonUnavailable(
            f"the daemon at {self._path} did not answer in {SILENCE_SECONDS:.0f} s: it is stopped, "
            "or has no time",
            advice="Look at it (volumelease status), or restart it: sessions are gone on with",
            socket=self._path,
            root=None,
            seconds=SILENCE_SECONDS,
        )

    def hang_up(self) -> None:
        """From any thread: whoever listens hears ``HungUp``, and closes it."""
        import socket

        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def connect(path: str, *, events: bool, seconds: float = CONNECT_SECONDS) -> Line:
    """A connection, as soon as a daemon is there. Errors: ``DaemonUnavailable`` after
    ``seconds``; those of ``Line``."""
    until = time.monotonic() + seconds
    while True:
        try:
            return Line(path, events=events)
        except (OSError, HungUp) as error:
            if isinstance(error, LeaseError):
                raise
            if time.monotonic() >= until:
                raise DaemonUnavailable(
                    f"{path} is the socket of a daemon that does not answer: {error}",
                    socket=path,
                    root=None,
                    seconds=seconds,
                ) from None
        time.sleep(_PAUSE_SECONDS)


class Redial:
    """How one question is asked again of a daemon that hung up: not without a pause, and not for
    ever. A try that lasted counts for nothing: the daemon was away, or at work on it."""

    def __init__(self) -> None:
        self._since = self._tried_at = time.monotonic()

    def again(self) -> bool:
        """Waits a moment. Returns whether to ask again."""
        now = time.monotonic()
        if now - self._tried_at > _LASTING_SECONDS:
            self._since = now
        if now - self._since > REDIAL_SECONDS:
            return False
        time.sleep(_PAUSE_SECONDS)
        self._tried_at = time.monotonic()
        return True


class Lines:
    """The connections of this process to one daemon on which it asks. Thread-safe."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._idle: list[Line] = []
        self._over = False
        self._lock = threading.Lock()

    def take(self) -> Line:
        """An idle one, or a new one. Errors: those of ``connect``."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return connect(self.path, events=False)

    def ask(self, line: Line, do: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request on a line that was taken; it is given back. Errors: those of
        ``Line``."""
        try:
            answer = line.ask(do, fields)
        except LeaseError as error:
            if isinstance(error, DaemonUnavailable):
                line.close()  # its reply may come after all
            else:
                self.give(line)
            raise
        except BaseException:
            line.close()
            raise
        self.give(line)
        return answer

    def give(self, line: Line) -> None:
        """It was used without an error."""
        with self._lock:
            if len(self._idle) < _MOST_IDLE and not self._over:
                self._idle.append(line)
                return
        line.close()

    def end(self) -> None:
        """Nothing is to be asked any more."""
        self._over = True
        self.drop()

    def drop(self) -> None:
        """The daemon behind them has gone."""
        for line in self._taken_back():
            line.close()

    def _taken_back(self) -> Iterator[Line]:
        with self._lock:
            idle, self._idle = self._idle, []
        yield from idle
