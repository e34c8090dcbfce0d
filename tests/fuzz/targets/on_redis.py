"""What a Redis replies, to a session that asks, waits, publishes and beats, and to who looks on.

An input is the replies in their order, a line of JSON each: a text stands for bytes.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from tests.fuzz.target import Decoder, Target, text_of
from volumelease.authorities.redis import founding
from volumelease.authorities.redis.fleet import RedisFleet
from volumelease.authorities.redis.picture import table_of
from volumelease.authorities.redis.session import RedisSession
from volumelease.authorities.redis.tokens import name_of
from volumelease.drivers.scripts import Scripts
from volumelease.drivers.threads import Monitor
from volumelease.effects import CallScript, Effect, ReadFile, ReadLink, Sleep
from volumelease.errors import AuthorityUnreachable, LeaseError
from volumelease.leases.redis_hosting import texts_of_scripts
from volumelease.model import Acquire, Answer, Cancel, Claim, Downgrade, Granted, Inspect, Release
from volumelease.tallies import Tally
from volumelease.testing.clocks import ManualClock
from volumelease.wire.identity import Identity, encode_identity
from volumelease.wire.replies import is_reply
from volumelease.wire.tellings import decode_about, decode_session

from .log import FACTS

IDENTITY = Identity(1, "ab", "redis", 2.0, 1.5)
A, B = Claim("a", "a"), Claim("b/c", "b/c")
MOST_CALLS = 400


class Volume:
    """Only the identity is there. Time passes when somebody sleeps."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def perform(self, effect: Effect) -> Any:
        match effect:
            case ReadLink(path) if path.endswith("/identity"):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            case ReadFile(path) if path.endswith("/identity"):
                return encode_identity(IDENTITY).encode()
            case Sleep(seconds):
                self._clock.advance(seconds)
                return None
            case _:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))


class Connection:
    """A connection of redis-py whose other end says what was given."""

    def __init__(self, replies: list[Any], clock: ManualClock) -> None:
        self.connection_pool = self
        self.said: list[Any] = []
        self._replies = iter(replies)
        self._clock = clock
        self._calls = 0

    def make_connection(self) -> Connection:
        return self

    def connect(self) -> None: ...

    disconnect = close = connect

    def pack_command(self, *parts: Any) -> list[Any]:
        return list(parts)

    def send_packed_command(self, command: list[Any], check: bool) -> None:
        del command, check

    def read_response(self) -> Any:
        self._calls += 1
        assert self._calls < MOST_CALLS, "it asks without an end"
        self._clock.advance(0.001)
        try:
            self.said.append(next(self._replies))
        except StopIteration:
            raise ConnectionResetError(errno.ECONNRESET, "no more to say") from None
        return self.said[-1]


def translate(error: Exception) -> Exception:
    if isinstance(error, OSError):
        return AuthorityUnreachable(str(error), root=None, seconds=0.0)
    return error


class Worker:
    """One session that does a bit of everything. ``perform`` has the Redis."""

    def __init__(self, perform: Any, clock: ManualClock) -> None:
        self.monitor = Monitor(perform)
        self.clock = clock
        self.granted: list[int] = []
        self.session = RedisSession(
            *(IDENTITY, "/v", FACTS, "ab" * 8, clock, lambda: "unique", lambda token: None),
            tally=Tally(),
        )

    def work(self) -> None:
        session = self.session
        try:
            self.monitor.run(session.open())
        except LeaseError:
            return
        a = self._ask(Acquire((A,), True, "main", wait=False))
        self._run(session.beat)
        b = self._ask(Acquire((B, A), False, "main", wait=True))
        self._run(session._look)
        token = self.granted[0] if self.granted else 7
        self._ask(Inspect(token))
        self._run(lambda: session.breaking.begin(token, "why"))
        self._run(session.publishing._members.catch_up)
        self._ask(Downgrade(token))
        self._run(session.beat)
        self._run(session._chores)
        self._run(session.attend)
        for answer in (a, b):
            if isinstance(answer, Granted):
                self._ask(Release(answer.token))
        self._ask(Cancel(token))
        self._run(session.beat)
        self._run(session.close)

    def _ask(self, question: Any) -> Answer | None:
        answer: Answer | None = self._run(lambda: self.session.ask(question))
        if isinstance(answer, Granted):
            self.granted.append(answer.token)
        return answer

    def _run(self, steps: Callable[[], Any]) -> Any:
        with suppress(LeaseError):
            return self.monitor.run(steps())
        return None


def _bytes(value: Any) -> Any:
    """What the JSON of an input stands for."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return [_bytes(part) for part in value] if isinstance(value, list) else value


def _said(data: bytes) -> list[Any]:
    replies = []
    for line in text_of(data).split("\n")[:60]:
        with suppress(ValueError, RecursionError):
            replies.append(_bytes(json.loads(line)))
    return replies


def _session(data: bytes) -> None:
    clock = ManualClock()
    end = Connection(_said(data), clock)
    scripts = Scripts(lambda: end, texts_of_scripts(), translate, Volume(clock))
    worker = Worker(scripts, clock)
    worker.work()
    granted = {name_of(token).encode() for token in worker.granted}
    told = {one[1] for one in end.said if _is_grant(one)}
    told |= {name for one in end.said for name in _granted_elsewhere(one)}
    assert granted <= told, "what nobody granted is believed to be granted"


def _is_grant(reply: Any) -> bool:
    return is_reply("acquire", reply) and reply[0] in (b"granted", b"waiting")


def _granted_elsewhere(reply: Any) -> list[bytes]:
    return reply[1] if is_reply("release", reply) and reply[1] else []


def _looked(data: bytes) -> None:
    """Who looks on: the picture, and what the fleet counted."""
    clock = ManualClock()
    end = Connection(_said(data), clock)
    scripts = Scripts(lambda: end, texts_of_scripts(), translate, Volume(clock))
    with suppress(LeaseError):
        table_of(scripts.perform(CallScript("picture", "k", ())))
    with suppress(LeaseError):
        Monitor(scripts).run(RedisFleet("ab", clock).read())
    with suppress(LeaseError):
        Monitor(scripts).run(RedisFleet("ab", clock).fold())


def _told(data: bytes) -> None:
    decode_session(text_of(data))
    decode_about(text_of(data))


@cache
def recorded() -> tuple[bytes, bytes]:
    """What the real scripts reply: to a session, and to who looks on."""
    from tests.authorities.fake_redis import FakeScripts

    clock, fake, said = ManualClock(), FakeScripts(), list[Any]()

    class Recorder(Volume):
        def perform(self, effect: Effect) -> Any:
            if not isinstance(effect, CallScript):
                return super().perform(effect)
            clock.advance(0.001)
            said.append(fake.perform(effect))
            return said[-1]

    recorder = Recorder(clock)
    Monitor(recorder).run(founding.begin("ab", "nonce"))
    said.clear()
    worker = Worker(recorder, clock)
    worker.work()
    assert worker.granted, "the real scripts grant"
    session = _lines(said)
    said.clear()
    worker = Worker(recorder, clock)
    worker.monitor.run(worker.session.open())
    worker._ask(Acquire((A,), True, "main"))
    said.clear()
    recorder.perform(CallScript("picture", "{volumelease:ab}:state", ()))
    worker.monitor.run(RedisFleet("ab", clock).fold())
    return session, _lines(said)


def _lines(replies: list[Any]) -> bytes:
    return "\n".join(json.dumps(_texts(reply)) for reply in replies).encode()


def _texts(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return [_texts(part) for part in value] if isinstance(value, list) else value


def decoders() -> Iterator[Decoder]:
    session, looked = recorded()
    yield Decoder("session", _session, (session,))
    yield Decoder("looked", _looked, (looked,))
    yield Decoder("told", _told, (b'{"p":[["a"]],"c":[1,2],"r":"x"}',))


TARGET = Target("redis", decoders)
