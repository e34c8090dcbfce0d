"""The event loop of the daemon: who is connected, what is asked, and who has gone.

Nothing here touches the volume. What does runs in threads, and every request has a limit after
which its client is told that the volume does not answer.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from volumelease.drivers.crew import Crew, Job
from volumelease.errors import AuthorityUnreachable
from volumelease.model import Client
from volumelease.wire.dialogue import MOST_BYTES

from .admission import Admission
from .burial import Burials
from .clients import User, meet
from .connection import Connection, Request
from .desk import Desk
from .reception import Reception

WORKING_SECONDS: Final = 2.0
"""How often a client is told that its request is still under way."""

_TURNS: Final = 5
"""Of the loop, after the last accept: then that one is among the connections, to be cut off too."""


class Server:
    """Serves one socket. ``run`` on an event loop; ``desks`` are shared with its threads."""

    def __init__(self, reception: Reception, report: Callable[[str], None]) -> None:
        self.reception = reception
        self.report = report
        self.instance = os.urandom(8).hex()
        self.connections: set[Connection] = set()
        self.admission = Admission()
        self.users: dict[Client, User] = {}
        self.wrong_messages = 0
        self.buffer = memoryview(bytearray(MOST_BYTES))
        self.awake = threading.Lock()
        """Held by the thread that waits for a request without sleeping."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._doors = Crew(size=32)
        self._ticking = False
        self._stopping = False
        self.burials = Burials(
            reception.all_desks,
            lambda: {user.facts.pid for user in list(self.users.values()) if not user.gone},
            self.later,
            report,
            ends_writers=reception.ends_writers,
        )

    async def run(self, listening: socket.socket, until: asyncio.Event) -> None:
        """Serve until ``until`` is set."""
        loop = self._loop = asyncio.get_running_loop()
        self._inherit_all()
        server = await loop.create_unix_server(lambda: Connection(self), sock=listening)
        await until.wait()
        self._stopping = True
        loop.remove_reader(listening)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        # Not wait_closed(), nor a block that does: from Python 3.12 on it waits until every client
        # has left by itself.
        server.close()
        for connection in list(self.connections):
            connection.abort()

    def on_loop(self, work: Callable[[], Any]) -> None:
        """From any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(work)

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            self.on_loop(lambda: loop.call_later(seconds, work))

    def about(self) -> dict[str, Any]:
        return {
            "server": f"volumelease/{self.reception.version}",
            "daemon": self.instance,
            "boottime": time.clock_gettime(time.CLOCK_BOOTTIME),
        }

    # ---- clients

    def admit(self, pid: int, name: str) -> User:
        """The client that is this process. Errors: ``NotAdmitted``."""
        user = meet(pid, name)
        known = self.users.get(user.facts)
        if known is not None and not known.gone:
            user.close()
            return known
        self._watch(user)
        return user

    def _watch(self, user: User) -> None:
        assert self._loop is not None
        self.users[user.facts] = user
        user.tell = partial(self._tell, user)
        self._loop.add_reader(user.descriptor, lambda: self._gone(user))

    def _inherit_all(self) -> None:
        for user, desk, until in self.reception.inherited():
            self._inherit(user, desk, until)

    def _inherit(self, user: User, desk: Desk, until: float) -> None:
        """A client of an earlier daemon: it comes back in time, or has lost what it had."""
        if user.gone or user.descriptor < 0:
            user.gone = True
            self.burials.begin(user)
            return
        user.claimed = any(one.user is user for one in self.connections)
        self._watch(user)
        left = until - time.clock_gettime(time.CLOCK_BOOTTIME)
        forsake = Job(partial(self._forsake, user, desk))
        self.later(max(0.0, left), lambda: desk.crews.aside.keep(forsake))

    def _forsake(self, user: User, desk: Desk) -> None:
        """To be connected claims nothing: who does not reclaim goes by the old page."""
        desk.forsake(user)
        if not user.claimed and not any(held.adopted for held in list(user.held.values())):
            self.on_loop(lambda: None if user.claimed else self._let_lapse(user))

    def _let_lapse(self, user: User) -> None:
        """A process that lives and is not connected (any more) loses what it has. It may be one
        that holds the GIL, and goes by the page: so first an alarm there, then the time in which
        it may end itself, and only then somebody else."""
        user.claimed = False
        grace = self._alarm(user)
        self.later(grace, lambda: None if user.claimed else self._gone(user))

    def _alarm(self, user: User) -> float:
        """On the pages of the sessions in which it has something. Returns for how long a client
        that reads it there may still run."""
        grace = 0.0
        for desk in self.reception.all_desks():
            if user.tokens(desk.volume):
                desk.alarm()
                grace = max(grace, desk.grace_seconds)
        return grace

    def greeted(self, connection: Connection, user: User) -> None:
        connection.user = user
        user.claimed = True

    def disconnected(self, connection: Connection) -> None:
        """A client whose last connection is closed has left; a child of it that inherited one
        doesn't keep it here, because its own death is seen too. Not one that has something of an
        earlier daemon's left to claim: what closed may be another part of it, or a try."""
        self.connections.discard(connection)
        for request in list(connection.under_way.values()):  # nobody hears the answer
            if request.abandon is not None:
                request.abandon()
        user = connection.user
        if user is None or user.gone or self._stopping:
            return
        if any(other.user is user for other in self.connections):
            return
        if any(held.adopted for held in list(user.held.values())):
            user.claimed = False  # it still goes by the page of an earlier daemon: see _forsake
            return
        if connection.cut_off:  # it did not leave by itself
            self._let_lapse(user)
            return
        self._alarm(user)
        self._gone(user)

    def _gone(self, user: User) -> None:
        with user.lock:
            if user.gone:
                return
            user.gone = True
        assert self._loop is not None
        self._loop.remove_reader(user.descriptor)
        user.close()
        if self.users.get(user.facts) is user:
            del self.users[user.facts]
        for connection in [one for one in self.connections if one.user is user]:
            connection.abort()
        self.burials.begin(user)

    def _tell(self, user: User, event: str, about: dict[str, object]) -> None:
        def tell() -> None:
            for connection in self.connections:
                if connection.user is user and connection.events:
                    connection.send(connection.side.tell(event, about))

        self.on_loop(tell)

    # ---- requests

    def asked(self, connection: Connection, request: Request) -> None:
        user = connection.user
        assert user is not None
        crew, work = self.reception.work_for(user, request)
        if request.at_once:  # whatever hangs
            _answer(request, work)
            request.read_again()
            return
        crew = crew or self._doors
        job = Job(partial(self._answer, connection, request, work, crew))
        try:
            crew.do(job, urgent=request.asked.do in _LETS_GO, here=False)
        except RuntimeError:
            self._refuse_without_thread(request)
        self._see_to_ticking()

    def _refuse_without_thread(self, request: Request) -> None:
        """At the container's limit: done here it would hold up everybody. What lets go is done all
        the same, as soon as a thread can be made."""
        request.refuse(
            AuthorityUnreachable(
                f"no thread can be started in the daemon for {request.asked.do!r}",
                advice="Raise the container's limit of threads (pids.max), or run less in it",
                root=None,
                seconds=0.0,
            )
        )
        if request.abandon is not None:
            request.abandon()
        request.read_again()

    def _answer(
        self,
        connection: Connection,
        request: Request,
        work: Callable[[], dict[str, Any]],
        crew: Crew,
    ) -> None:
        _answer(request, work)
        if request.claim_stay():
            connection.stay(self, crew)

    def answered_here(self, connection: Connection, request: Request, crew: Crew) -> bool:
        """Answer that in this thread, if it is one for its crew; else have it done by another.
        Returns whether it was answered here."""
        user = connection.user
        assert user is not None
        its_crew, work = self.reception.work_for(user, request)
        self._see_to_ticking()
        if its_crew is crew or request.at_once:
            _answer(request, work)
            return True
        self.on_loop(partial(self.asked, connection, request))
        return False

    def _see_to_ticking(self) -> None:
        if not self._ticking:
            self._ticking = True
            self.later(WORKING_SECONDS, self._tick)

    def _tick(self) -> None:
        """Tell those whose requests take long, and give up on those that took too long."""
        self._ticking = False
        now = time.monotonic()
        for connection in list(self.connections):
            for request in list(connection.under_way.values()):
                self._ticking = True
                waited = now - request.since
                request.read_again()
                if request.seconds is not None and waited > request.seconds:
                    self._give_up(request, waited)
                elif waited > WORKING_SECONDS / 2:
                    request.say_working()
        if self._ticking:
            self.later(WORKING_SECONDS, self._tick)

    def _give_up(self, request: Request, waited: float) -> None:
        request.refuse(
            AuthorityUnreachable(
                f"the volume did not answer in {waited:.1f} s to {request.asked.do!r}",
                root=None,
                seconds=waited,
            )
        )
        if request.abandon is not None:
            request.abandon()


_LETS_GO: Final = frozenset({"release", "cancel", "give_back", "discard", "publish", "inspect"})


def _answer(request: Request, work: Callable[[], dict[str, Any]]) -> None:
    if request.done:  # given up before its turn came
        return
    try:
        answer = work()
    except BaseException as error:  # noqa: BLE001 - the client is told
        request.refuse(error)
    else:
        request.answer(answer)
