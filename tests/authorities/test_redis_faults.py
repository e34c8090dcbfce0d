"""Sessions on a Redis whose calls are lost, answered to nobody, sent again and executed late, and
whose memory is lost in between. What is random comes from a seed."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.bed.redis import RedisServer, missing_redis
from volumelease.authorities.redis.calling import state_key
from volumelease.authorities.redis.requests import Mine
from volumelease.authorities.redis.session import RedisSession
from volumelease.clock import SystemClock
from volumelease.core.conflicts import overlaps
from volumelease.core.records import SessionFacts
from volumelease.drivers.files import Files
from volumelease.drivers.scripts import Scripts
from volumelease.drivers.threads import Monitor
from volumelease.effects import CallScript, Effect, Sleep
from volumelease.errors import AuthorityUnreachable, LeaseError
from volumelease.host import ProcessFacts
from volumelease.leases.redis_hosting import scripts_on
from volumelease.model import Acquire, Claim, GiveBack, Lost, Release
from volumelease.settings import Settings
from volumelease.wire.identity import Identity

PATHS = ("", "a", "a/b", "a/b/c", "ab", "b")
NOWHERE = "/nowhere/volume"


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    if reason := missing_redis():
        pytest.skip(reason)
    with RedisServer() as server:
        yield server.url


class Lossy:
    """Performs calls of one session badly. ``faults``: the share of calls that go wrong."""

    def __init__(self, scripts: Scripts, chance: random.Random) -> None:
        self._scripts = scripts
        self._chance = chance
        self.faults = 0.3
        self.late: list[CallScript] = []
        """Copies that are still on their way."""

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Sleep):
            return None
        if not isinstance(effect, CallScript):
            raise FileNotFoundError(2, "there is no volume here")
        if self.late and self._chance.random() < self.faults / 2:
            self.arrive(self._chance.randrange(len(self.late)))
        if self._chance.random() >= self.faults:
            return self._scripts.perform(effect)
        if self._chance.random() < 0.5:  # executed, and the answer lost
            self._scripts.perform(effect)
            if self._chance.random() < 0.3:
                self.late.append(effect)
        else:  # or not executed yet
            self.late.append(effect)
        raise AuthorityUnreachable("no answer", root=None, seconds=0.0)

    def arrive(self, number: int) -> None:
        self._scripts.perform(self.late.pop(number))


class Fleet:
    """Three sessions of one volume, one after the other: nothing here runs side by side."""

    def __init__(self, url: str, seed: int) -> None:
        self.chance = random.Random(seed)
        self.identity = Identity(1, secrets.token_hex(8), "redis", 600.0, 0.0)
        self.scripts = scripts_on(Settings(redis_url=url), NOWHERE, Files())
        self.call("found", self.call("found")[1])
        self.lossy = [Lossy(self.scripts, self.chance) for _ in range(3)]
        self.sessions = [self._open(number) for number in range(3)]
        self.largest = 0

    def _open(self, number: int) -> RedisSession:
        facts = SessionFacts(ProcessFacts("host", "", 0, number, 0))
        name = f"s{number}"
        session = RedisSession(
            self.identity,
            NOWHERE,
            facts,
            name,
            SystemClock(),
            lambda: secrets.token_hex(4),
            lambda token: None,
        )
        self.run(number, session.open(), patient=True)
        return session

    def call(self, script: str, *arguments: Any, incarnation: int = 0, session: str = "x") -> Any:
        head = (incarnation, secrets.token_hex(4), session, "0")
        return self.scripts.perform(
            CallScript(script, state_key(self.identity.id), (*head, *arguments))
        )

    def run(self, number: int, steps: Any, *, patient: bool = False) -> Any:
        faults = self.lossy[number].faults
        if patient:
            self.lossy[number].faults = 0.0
        try:
            return Monitor(self.lossy[number]).run(steps)
        except LeaseError:
            assert not patient
            return None
        finally:
            self.lossy[number].faults = faults

    def step(self) -> None:
        number = self.chance.randrange(3)
        session = self.sessions[number]
        mine = list(session.requests.wanted.values())
        rare = ["forget"] if self.chance.random() < 0.3 else ["end of grace"]
        match self.chance.choice(["ask"] * 5 + ["let go"] * 4 + ["look", "beat"] * 2 + rare):
            case "ask":
                self._ask(number)
            case "let go" if mine:
                self.run(number, session.ask(Release(self.chance.choice(mine).token)))
            case "look" if session.waits:
                self.run(number, session._look())
            case "beat":
                self._beat(number)
            case "forget":
                self._forget()
            case "end of grace":
                self._end_grace()

    def _ask(self, number: int) -> None:
        keys = self.chance.sample(PATHS, self.chance.choice((1, 1, 2)))
        question = Acquire(
            tuple(Claim(key, key) for key in keys),
            self.chance.random() < 0.7,
            f"owner{self.chance.randrange(2)}",
            wait=self.chance.random() < 0.7,
        )
        session = self.sessions[number]
        if self.run(number, session.ask(question)) is None or self.chance.random() < 0.1:
            self.run(number, session.ask(GiveBack(question)))

    def _beat(self, number: int, *, patient: bool = False) -> None:
        session = self.sessions[number]

        def steps() -> Any:
            before = session.requests.known()
            arguments = (session.requests.floor, 8)
            session._counter += 1
            reply = yield from session.calls.once("beat", session._counter, *arguments)
            if session._differs(reply, len(before) if session.requests.quiet else None):
                yield from session._compare()
            yield from session.requests.give_back_unwanted()

        self.run(number, steps(), patient=patient)

    def _forget(self) -> None:
        """The memory is lost, and everybody finds out as well as it can."""
        state = self.call("picture")
        self.call("look", 0, incarnation=int(state[1]) + 1)
        for number in self.chance.sample(range(3), 2):
            self._beat(number)

    def _end_grace(self) -> None:
        """A ttl later everybody has beaten, or is lost."""
        for number in range(3):
            self._beat(number, patient=True)
        grace = self.call("picture")[2]
        if grace:
            incarnation = self.sessions[0].calls.incarnation
            assert self.call("ready", grace, incarnation=incarnation, session="s0")[0] == b"ready"

    # ---- what must hold

    def held(self) -> list[Mine]:
        return [
            mine
            for session in self.sessions
            for mine in session.requests.wanted.values()
            if mine.granted and not mine.lost
        ]

    def check(self) -> None:
        held = self.held()
        for index, one in enumerate(held):
            for other in held[index + 1 :]:
                assert not in_conflict(one, other), (vars_of(one), vars_of(other))
        assert all(session.alive() for session in self.sessions)


def in_conflict(one: Mine, other: Mine) -> bool:
    return (one.exclusive or other.exclusive) and any(
        overlaps(a.key, b.key) for a in one.acquire.claims for b in other.acquire.claims
    )


def vars_of(mine: Mine) -> dict[str, Any]:
    return {name: getattr(mine, name) for name in ("number", "token", "exclusive", "acquire")}


@pytest.mark.parametrize("seed", range(25))
def test_calls_that_are_lost_and_late_grant_nothing_twice_and_leave_nothing(
    redis_url: str, seed: int
) -> None:
    fleet = Fleet(redis_url, seed)
    for _ in range(200):
        fleet.step()
        fleet.check()
    fleet._end_grace()
    for number, session in enumerate(fleet.sessions):
        for token in list(session.requests.wanted):
            answer = fleet.run(number, session.ask(Release(token)), patient=True)
            assert not isinstance(answer, Lost)
        fleet._beat(number, patient=True)
        fleet._beat(number, patient=True)
    assert fleet.call("picture")[4] == []
    for lossy in fleet.lossy:
        while lossy.late:
            lossy.arrive(0)
    assert fleet.call("picture")[4] == [], "a copy that came late was granted to nobody"
    fleet.scripts.close()
