"""One connection: bytes to events on the loop, replies from any thread."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from volumelease.wire.dialogue import Asked, Greeted, ServerSide, Wrong

from . import admission
from .clients import NotAdmitted, User, peer_of

if TYPE_CHECKING:
    from volumelease.drivers.crew import Crew

    from .server import Server

STAY_MILLISECONDS: Final = 1
AWAKE_SECONDS: Final = 0.0003
"""For how long a thread looks again and again before it sleeps: a client lets go that soon, and
to wake a processor that sleeps costs a tenth of a lease. Kernels do the same before they halt."""

READ_BYTES: Final = 8192

MOST_UNSENT_BYTES: Final = 4 << 20
"""Of a client that does not read; then it is cut off."""


class Request:
    """One request under way. It gets exactly one reply, whoever comes first."""

    __slots__ = ("_connection", "_done", "abandon", "asked", "at_once", "seconds", "since", "stays")

    def __init__(self, connection: Connection, asked: Asked) -> None:
        self._connection = connection
        self._done = False
        self.asked = asked
        self.since = time.monotonic()
        self.seconds: float | None = None
        """After which the client is told that the volume does not answer; None: never."""
        self.stays = False
        """Whether the loop does not read this connection until it is answered."""
        self.at_once = False
        """Whether its answer is known without asking a volume."""
        self.abandon: Callable[[], Any] | None = None
        """What to do when the daemon gives up waiting for the volume. Never blocks."""

    def read_again(self) -> None:
        """On the loop: it takes long, so the connection is read meanwhile."""
        if self.claim_stay():
            self._connection.read_again()

    def claim_stay(self) -> bool:
        """Whether the caller is the one to see to it that the connection is read again."""
        with self._connection.lock:
            stays, self.stays = self.stays, False
        return stays

    @property
    def done(self) -> bool:
        """Whether it got its reply: then nobody hears another one."""
        return self._done

    def answer(self, answer: dict[str, Any]) -> None:
        """If nobody hears that, what it got is given back."""
        sent = self._reply(lambda side: side.answer(self.asked.id, answer))
        if not sent and self.abandon is not None:
            self.abandon()

    def refuse(self, error: BaseException) -> None:
        self._reply(lambda side: side.refuse(self.asked.id, error))

    def _reply(self, made: Callable[[ServerSide], bytes]) -> bool:
        connection = self._connection
        with connection.lock:
            if self._done:
                return False
            self._done = True
            connection.under_way.pop(self.asked.id, None)
            data = made(connection.side)
        return connection.send(data)

    def say_working(self) -> None:
        with self._connection.lock:
            if self._done:
                return
            data = self._connection.side.working(self.asked.id)
        self._connection.send(data)


class Connection(asyncio.BufferedProtocol):
    """One client's connection. ``send`` is for any thread, all else for the loop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.side = ServerSide()
        self.lock = threading.Lock()
        self.under_way: dict[int, Request] = {}
        self.user: User | None = None
        self.events = False
        self.cut_off = False
        """Whether the daemon ended it, and not the client."""
        self._admitted: int | None = None
        self._transport: Any = None
        self._descriptor = -1
        self._slow = False
        self._line = -1
        self._poll = select.poll()
        self._staying = False
        self._sending = threading.Lock()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        there = transport.get_extra_info("socket")
        self._descriptor = there.fileno()
        self._server.connections.add(self)
        try:
            pid = peer_of(there)[0]
        except NotAdmitted:  # it is told when it says hello
            pid = 0
        if self._server.admission.take(pid):
            self._admitted = pid
            self._server.later(admission.HELLO_SECONDS, self._end_without_hello)
        else:
            self.abort()

    def _end_without_hello(self) -> None:
        if self.user is None:
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        with self._sending:
            self._descriptor = -1  # before the number can be another file's
            if not self._staying:
                self._close_line()
            elif self._line >= 0:  # whoever waits for it is woken, and closes it
                with suppress(OSError):
                    self._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        if self._admitted is not None:
            self._server.admission.leave(self._admitted)
        # A client that closes with something unread is seen as a ConnectionError, and has left.
        if error is not None and not isinstance(error, ConnectionError):
            self.cut_off = True
        self._server.disconnected(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """One for all connections: only the loop reads into it, and it is emptied at once. A new
        one for each read, of 256 KiB, would leave the heap full of holes."""
        del sizehint
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._received(bytes(self._server.buffer[:nbytes]))

    def _received(self, data: bytes) -> None:
        events = self.side.receive(data)
        for event in events:
            if isinstance(event, Asked):
                request = self.noted(event)
                # Who wants no events asks one thing after the other.
                if not self.events and len(events) == len(self.under_way) == 1:
                    self._transport.pause_reading()
                    request.stays = True
                self._server.asked(self, request)
            elif isinstance(event, Greeted):
                self._greet(event)
            elif isinstance(event, Wrong):
                self._server.wrong_messages += 1
                self.send(event.reply)
                if event.last:
                    self._end()

    def noted(self, asked: Asked) -> Request:
        """It is under way from now on."""
        request = Request(self, asked)
        with self.lock:
            self.under_way[asked.id] = request
        return request

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
        self.cut_off = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it now."""
        if self._transport is not None:
            self.cut_off = True
            self._transport.abort()

    # ---- in the thread that answered

    def stay(self, server: Server, crew: Crew) -> None:
        """Hear the next request right here if it comes soon, as it does between an acquire and a
        release: to the loop and back costs two switches of threads, as much as the commit. The
        loop does not read meanwhile."""
        try:
            while not crew.behind:
                data = self._next()
                if not data or not self._heard_here(data, server, crew):
                    break
        finally:
            server.on_loop(self.read_again)

    def _next(self) -> bytes:
        with self._sending:
            if self._descriptor < 0:
                return b""
            if self._line < 0:  # its own: the loop may close the other at any moment
                self._line = os.dup(self._descriptor)
                self._poll.register(self._line, select.POLLIN)
            self._staying = True
        try:
            heard = self._look_for_a_moment() or self._poll.poll(STAY_MILLISECONDS)
            return os.read(self._line, READ_BYTES) if heard else b""
        except OSError:
            return b""
        finally:
            with self._sending:
                self._staying = False
                if self._descriptor < 0:
                    self._close_line()

    def _look_for_a_moment(self) -> bool:
        """Whether the next request is there, without going to sleep. One thread at a time: two
        would only hold each other up."""
        awake = self._server.awake
        if not awake.acquire(blocking=False):
            return False
        try:
            until = time.monotonic() + AWAKE_SECONDS
            while not self._poll.poll(0):
                if time.monotonic() > until:
                    return False
                os.sched_yield()  # whoever needs this processor goes first
            return True
        finally:
            awake.release()

    def _heard_here(self, data: bytes, server: Server, crew: Crew) -> bool:
        """Whether to go on here."""
        events = self.side.receive(data)
        if len(events) == 1 and isinstance(events[0], Asked):
            return server.answered_here(self, self.noted(events[0]), crew)
        for event in events:
            if isinstance(event, Asked):
                request = self.noted(event)
                server.on_loop(partial(server.asked, self, request))
            elif isinstance(event, Wrong):
                server.wrong_messages += 1
                self.send(event.reply)
                if event.last:
                    server.on_loop(self._end)
        return not events  # half a message

    def _close_line(self) -> None:
        if self._line >= 0:
            os.close(self._line)
        self._line = -1

    def read_again(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # ---- from any thread

    def send(self, data: bytes) -> bool:
        """Send it from this thread if that does not block: a hop to the loop and back costs as
        much as a round trip. Returns False if the connection is known to be over."""
        with self._sending:
            if self._descriptor < 0:
                return False
            if not self._slow:
                try:
                    sent = os.write(self._descriptor, data)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    return False  # the loop sees it too
                if sent == len(data):
                    return True
                self._slow = True  # for good: what comes later must not overtake the rest
                data = data[sent:]
            self._server.on_loop(lambda: self._write(data))
            return True

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MOST_UNSENT_BYTES:
            self.abort()
