"""A session of a volume whose leases a Redis keeps, with its threads and its client.

redis-py is imported here and nowhere on the way to a lease of another authority.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from volumelease.authorities import redis as authority
from volumelease.authorities.redis import founding
from volumelease.authorities.redis.addresses import RedisAddress, address_in
from volumelease.authorities.redis.calling import state_key
from volumelease.authorities.redis.connecting import RedisWire, connect, greet
from volumelease.authorities.redis.picture import Kept, kept_in
from volumelease.authorities.redis.session import RedisSession
from volumelease.authorities.redis.still import evicts
from volumelease.authorities.redis.troubles import translated
from volumelease.bells.belfry import Belfry
from volumelease.bells.ears import Ear
from volumelease.bells.pubsub import RedisBell
from volumelease.clock import Clock
from volumelease.core.records import SessionFacts
from volumelease.drivers.files import Files
from volumelease.drivers.scripts import Scripts, read_scripts
from volumelease.drivers.threads import Monitor, Performer
from volumelease.effects import CallScript
from volumelease.errors import AuthorityUnreachable
from volumelease.model import Acquire, Claim, Holder
from volumelease.settings import Settings
from volumelease.tallies import Tally
from volumelease.wire.identity import Identity

from .hosting import GIVE_BACK_SECONDS, Hosting
from .ringing import report as log

if TYPE_CHECKING:
    from .volumes import Surroundings


class HostedRedisSession(Hosting[RedisSession]):
    """A session of one volume on the Redis of the settings."""

    def __init__(
        self,
        identity: Identity,
        root: str,
        facts: SessionFacts,
        clock: Clock,
        performer: Performer,
        report: Callable[[str], None],
        settings: Settings,
        rung: bool = True,
        tally: Tally | None = None,
    ) -> None:
        name = os.urandom(8).hex()
        belfry = None
        if rung:
            ear = Ear()
            belfry = Belfry(
                ear, None, RedisBell(RedisWire(_address(settings)), identity.id, name, ear), log
            )
        self._scripts = scripts_on(settings, root, performer)
        super().__init__(clock, self._scripts, report, belfry, tally)
        self.session = RedisSession(
            identity=identity,
            root=root,
            facts=facts,
            name=name,
            clock=clock,
            unique=lambda: os.urandom(8).hex(),
            wake=self._wake,
            bell=belfry,
            tally=self.tally,
        )

    def open(self) -> None:
        with suppress(AuthorityUnreachable):  # the session tries again, for a while
            self._scripts.prepare()
        super().open()

    def close(self, seconds: float = GIVE_BACK_SECONDS) -> None:
        super().close(seconds)
        self._scripts.close()

    def still_waits(self, token: int) -> bool:
        with self._monitor.lock:
            return self.session.still_waits(token)

    def own_requests(self) -> list[tuple[tuple[Claim, ...], bool, float]]:
        with self._monitor.lock:
            known = self.session.requests.known()
            return [
                (one.acquire.claims, bool(one.granted), float(one.granted or one.asked))
                for one in known
            ]

    def tail(self) -> int:
        return self.session.tail()

    def who_holds(self, claim: Claim) -> Holder | None:
        with self._monitor.lock:
            return self.session.who_holds(claim)

    def give_up(self, question: Acquire) -> None:
        with self._monitor.lock:
            self.session.give_up(question)


def begin(identity: Identity, root: str, surroundings: Surroundings) -> None:
    """Let the first lease of a volume that a person says is new be granted at once. Errors: those
    of ``CallScript``."""
    scripts = scripts_on(surroundings.settings, root, surroundings.performer)
    try:
        Monitor(scripts).run(founding.begin(identity.id, os.urandom(8).hex()))
    finally:
        scripts.close()


def kept_on(volume: str, root: str, settings: Settings) -> Kept:
    """What that Redis keeps of the volume at this moment. Takes no part and changes nothing.
    Errors: those of ``CallScript``."""
    return kept_in(_asked("picture", volume, root, settings))


def moved_on(volume: str, root: str, settings: Settings) -> tuple[int, str]:
    """The incarnation of what that Redis keeps of the volume, and the log on the volume that took
    its place, or "". Changes nothing. Errors: those of ``CallScript``."""
    reply = _asked("moved", volume, root, settings)
    return int(reply[1]), reply[3].decode() if reply[2] else ""


def must_carry(volume: str, root: str, settings: Settings) -> None:
    """Before anything depends on that Redis: that sessions can begin there. Errors: those of
    ``CallScript``, and ``VolumeUnsuitable`` as ``RedisSession.open``."""
    policy = _asked("moved", volume, root, settings)[4].decode()
    if policy:
        raise evicts(root, policy)


def remove_from(volume: str, root: str, settings: Settings) -> None:
    """All that the Redis keeps of a volume that is no more. Errors: those of ``CallScript``."""
    _asked("uninstall", volume, root, settings)


def _asked(script: str, volume: str, root: str, settings: Settings) -> list[Any]:
    scripts = scripts_on(settings, root, Files())
    try:
        reply: list[Any] = scripts.perform(CallScript(script, state_key(volume), ()))
        return reply
    finally:
        scripts.close()


@cache
def texts_of_scripts() -> dict[str, str]:
    assert authority.__file__ is not None
    return read_scripts(Path(authority.__file__).parent / "scripts")


def scripts_on(settings: Settings, root: str, below: Performer) -> Scripts:
    """What performs the calls on the Redis of the settings, and everything else with ``below``."""
    del root
    address = _address(settings)

    def connected() -> Any:
        client = connect(address)
        greet(client, address)
        return client

    def translate(error: Exception) -> Exception:
        return translated(error, address) or error

    return Scripts(connected, texts_of_scripts(), translate, below, settings.redis_replicas)


def _address(settings: Settings) -> RedisAddress:
    address = address_in(settings)
    assert address is not None
    return address
