"""A TCP proxy before a Redis, with a door for each client whose way is to be worse than others'.

Runs in a thread of this process. ``with RedisProxy(server.address, doors=2) as proxy:``, then
``proxy.doors[0].url``, ``.cut()``, ``.heal()`` and so on.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from .running import Running

CHUNK: Final = 1 << 16
OLD_VERSION: Final = b"5.0.14"


class Door:
    """One port, and what happens to those who come through it. Thread-safe."""

    def __init__(self, proxy: RedisProxy) -> None:
        self._proxy = proxy
        self._server: asyncio.Server | None = None
        self.port = 0
        self.open = asyncio.Event()
        """Clear: whatever comes waits here, in both directions, and is passed on later."""
        self.requests_delay = 0.0
        self.replies_delay = 0.0
        self.drops_replies = False
        self.old = False
        self.passed = 0
        """Bytes of requests that reached the server."""
        self._streams: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def cut(self) -> None:
        """As a firewall does: nothing arrives, nobody is told, new connections come about."""
        self._proxy.call(self.open.clear)

    def heal(self, *, deliver: bool = False) -> None:
        """Undo everything. Connections that lost something end; with ``deliver`` those that were
        cut go on, and what waited arrives, late."""

        def undo() -> None:
            self.requests_delay = self.replies_delay = 0.0
            if not deliver:
                self._end_connections()
            self.drops_replies = False
            self.open.set()

        self._proxy.call(undo)

    def end_connections(self) -> None:
        """As a server does that restarts: all are closed, new ones come about."""
        self._proxy.call(self._end_connections)

    def delay(self, *, requests: float = 0.0, replies: float = 0.0) -> None:
        """Seconds by which everything comes later. A delayed request arrives although its client
        has gone."""

        def change() -> None:
            self.requests_delay, self.replies_delay = requests, replies

        self._proxy.call(change)

    def drop_replies(self) -> None:
        """Requests are carried out, and nobody hears of it. Until ``heal``."""
        self._proxy.call(lambda: setattr(self, "drops_replies", True))

    def speak_as_version_5(self) -> None:
        """Connections made from now on reach a server that calls itself version 5 and knows no
        HELLO. Limit: not for subscriptions."""
        self._proxy.call(lambda: setattr(self, "old", True))

    # ---- in the proxy's loop

    async def listen(self) -> None:
        self.open.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._end_connections()

    def _end_connections(self) -> None:
        for stream in self._streams:
            stream.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._streams.add(writer)
        theirs: asyncio.StreamWriter | None = None
        try:
            answers, theirs = await asyncio.open_connection(*self._proxy.target, limit=CHUNK)
            self._streams.add(theirs)
            if self.old:
                await self._translate(reader, writer, answers, theirs)
            else:
                await asyncio.gather(self._requests(reader, theirs), self._replies(answers, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # one of the two is gone; so is the other, below
        finally:
            for stream in (writer, theirs):
                if stream is not None:
                    self._streams.discard(stream)
                    stream.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await asyncio.sleep(self.requests_delay)
            await self.open.wait()
            to.write(data)
            self.passed += len(data)
        to.write_eof()

    async def _replies(self, reader: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await asyncio.sleep(self.replies_delay)
            await self.open.wait()
            if not self.drops_replies:
                to.write(data)
        to.write_eof()

    async def _translate(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        theirs: asyncio.StreamWriter,
    ) -> None:
        """One request and its reply after the other."""
        while True:
            request = await one_value(reader)
            if request.upper().split(b"\r\n")[2:3] == [b"HELLO"]:
                writer.write(b"-ERR unknown command `HELLO`, with args beginning with: \r\n")
                continue
            theirs.write(request)
            writer.write(_aged(await one_value(answers)))


def _aged(reply: bytes) -> bytes:
    """The reply to INFO with another version, of the same length."""
    return re.sub(
        rb"(redis_version:)([0-9.]+)",
        lambda found: found[1] + OLD_VERSION[: len(found[2])].ljust(len(found[2]), b"0"),
        reply,
    )


async def one_value(reader: asyncio.StreamReader) -> bytes:
    """The bytes of one value of RESP2."""
    line = await reader.readuntil(b"\r\n")
    kind, number = line[:1], line[1:-2]
    if kind == b"$" and int(number) >= 0:
        return line + await reader.readexactly(int(number) + 2)
    if kind == b"*":
        for _ in range(int(number)):
            line += await one_value(reader)
    return line


class RedisProxy(Running):
    """Doors to one server, which may restart, or be exchanged for another by ``lead_to``."""

    def __init__(self, target: tuple[str, int], doors: int = 1) -> None:
        self.target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="redis-proxy")
        self.doors = [Door(self) for _ in range(doors)]

    @property
    def door(self) -> Door:
        """The only one."""
        (door,) = self.doors
        return door

    def lead_to(self, target: tuple[str, int]) -> None:
        """New connections go there."""
        self.target = target

    def call(self, change: Callable[[], object]) -> None:
        """Run it in the loop, and wait until it has run."""

        async def run() -> None:
            change()

        self._run(run())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def begin(self) -> None:
        self._thread.start()
        for door in self.doors:
            self._run(door.listen())

    def end(self) -> None:
        for door in self.doors:
            self._run(door.close())
        self._run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
