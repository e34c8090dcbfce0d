"""One connection: bytes to events on the loop, replies from any thread."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from volumelease.wire.dialogue import Asked, Greeted, ServerSide, Wrong

from .clients import NotAdmitted, User, peer_of

if TYPE_CHECKING:
    from .server import Server

MOST_UNSENT_BYTES: Final = 4 << 20
"""Of a client that does not read; then it is cut off."""


class Request:
    """One request under way. It gets exactly one reply, whoever comes first."""

    __slots__ = ("_connection", "_done", "abandon", "asked", "seconds", "since")

    def __init__(self, connection: Connection, asked: Asked) -> None:
        self._connection = connection
        self._done = False
        self.asked = asked
        self.since = time.monotonic()
        self.seconds: float | None = None
        """After which the client is told that the volume does not answer; None: never."""
        self.abandon: Callable[[], Any] | None = None
        """What to do when the daemon gives up waiting for the volume."""

    def answer(self, answer: dict[str, Any]) -> None:
        self._reply(lambda side: side.answer(self.asked.id, answer))

    def refuse(self, error: BaseException) -> None:
        self._reply(lambda side: side.refuse(self.asked.id, error))

    def _reply(self, made: Callable[[ServerSide], bytes]) -> None:
        connection = self._connection
        with connection.lock:
            if self._done:
                return
            self._done = True
            connection.under_way.pop(self.asked.id, None)
            data = made(connection.side)
        connection.send(data)

    def say_working(self) -> None:
        with self._connection.lock:
            if self._done:
                return
            data = self._connection.side.working(self.asked.id)
        self._connection.send(data)


class Connection(asyncio.Protocol):
    """One client's connection. ``send`` is for any thread, all else for the loop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.side = ServerSide()
        self.lock = threading.Lock()
        self.under_way: dict[int, Request] = {}
        self.user: User | None = None
        self.events = False
        self._transport: Any = None
        self._descriptor = -1
        self._slow = False
        self._sending = threading.Lock()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        with self._sending:
            self._descriptor = -1  # before the number can be another file's
        self._server.disconnected(self)

    def data_received(self, data: bytes) -> None:
        for event in self.side.receive(data):
            if isinstance(event, Asked):
                request = Request(self, event)
                with self.lock:
                    self.under_way[event.id] = request
                self._server.asked(self, request)
            elif isinstance(event, Greeted):
                self._greet(event)
            elif isinstance(event, Wrong):
                self._server.wrong_messages += 1
                self.send(event.reply)
                if event.last:
                    self._end()

    def _greet(self, greeted: Greeted) -> None:
        try:
            pid, _ = peer_of(self._transport.get_extra_info("socket"))
            self.user = self._server.admit(pid, greeted.name)
        except NotAdmitted as error:
            self.send(self.side.refuse(0, error))
            self.side.over = True
            self._end()
            return
        self.events = greeted.events
        self._server.greeted(self, self.user)
        self.send(self.side.welcome(greeted.version, self._server.about()))

    def _end(self) -> None:
        """Close it, once what was said is on its way."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it now."""
        if self._transport is not None:
            self._transport.abort()

    # ---- from any thread

    def send(self, data: bytes) -> None:
        """Send it from this thread if that does not block: a hop to the loop and back costs as
        much as a round trip."""
        with self._sending:
            if self._descriptor < 0:
                return
            if not self._slow:
                try:
                    sent = os.write(self._descriptor, data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    return  # the loop sees it too
                if sent == len(data):
                    return
                self._slow = True  # for good: what comes later must not overtake the rest
                data = data[sent:]
            self._server.on_loop(lambda: self._write(data))

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            self._transport.abort()
