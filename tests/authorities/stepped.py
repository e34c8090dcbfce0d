"""Sessions on a real Redis, step by step on a clock that is moved by hand: schedules of the worst
moments, each written down."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from volumelease.authorities.redis import founding
from volumelease.authorities.redis.session import RedisSession
from volumelease.authorities.volume.founding import Founding
from volumelease.clock import Reading
from volumelease.core.records import SessionFacts
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.effects import CallScript, Effect, Listen, Sleep
from volumelease.errors import AuthorityUnreachable
from volumelease.host import ProcessFacts
from volumelease.leases.redis_hosting import scripts_on
from volumelease.model import Acquire, Claim, Granted, Waiting
from volumelease.settings import Settings
from volumelease.wire.identity import Identity


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def boottime(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1.7e9 + self.now

    def read(self) -> Reading:
        return Reading(self.now, self.now, self.wall())


class Hooked:
    """Performs effects. ``before`` hears each one and may raise; so does ``after``: then the answer
    is lost."""

    def __init__(self, url: str, clock: ManualClock) -> None:
        self._scripts = scripts_on(Settings(redis_url=url), "/volume", Files())
        self._clock = clock
        self.before: Callable[[Effect], None] = lambda effect: None
        self.after: Callable[[Effect], None] = lambda effect: None

    def perform(self, effect: Effect) -> Any:
        self.before(effect)
        if isinstance(effect, Sleep | Listen):
            self._clock.now += effect.seconds
            return None
        answer = self._scripts.perform(effect)
        self.after(effect)
        return answer


class Volume:
    """A fresh volume whose leases a Redis keeps, and a clock for all its workers."""

    def __init__(self, root: Path, url: str, ttl: float) -> None:
        self.clock = ManualClock()
        self.root, self.url = str(root), url
        run = Monitor(Hooked(url, self.clock)).run
        wanted = Founding(secrets.token_hex(8), ttl, 1.7e9, ready=True)
        self.identity: Identity = run(founding.found(self.root, wanted))[0]
        run(founding.begin(self.identity.id, secrets.token_hex(8)))

    def worker(self, name: str, url: str = "") -> Stepped:
        return Stepped(self, name, url or self.url)


class Stepped:
    """One worker. ``name`` decides its place in the ring."""

    def __init__(self, volume: Volume, name: str, url: str) -> None:
        self.name = name
        self.performer = Hooked(url, volume.clock)
        self.run = Monitor(self.performer).run
        self.session = RedisSession(
            identity=volume.identity,
            root=volume.root,
            facts=SessionFacts(ProcessFacts(name, "", 0, 0, 0)),
            name=name,
            clock=volume.clock,
            unique=lambda: secrets.token_hex(8),
            wake=lambda token: None,
        )

    def opened(self) -> Stepped:
        self.run(self.session.open())
        return self

    def beat(self) -> bool:
        return bool(self.run(self.session.beat()))

    def look(self) -> None:
        self.run(self.session._look())

    def asks(self, key: str) -> int:
        """The token of an exclusive request, granted or not."""
        answer = self.run(self.session.ask(Acquire((Claim(key, key),), True, self.name)))
        assert isinstance(answer, Granted | Waiting)
        return answer.token

    def holds(self, token: int) -> bool:
        return not self.session.loss_of(token) and not self.session.still_waits(token)

    def cut_off(self) -> None:
        """From its Redis, for good."""

        def refuse(effect: Effect) -> None:
            if isinstance(effect, CallScript):
                raise unreachable()

        self.performer.before = refuse


def unreachable() -> AuthorityUnreachable:
    return AuthorityUnreachable("no answer", root=None, seconds=0.0)
