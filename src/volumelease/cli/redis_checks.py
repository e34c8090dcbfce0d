"""Checks of the configured Redis: is it there, and fit for what it is to do? As the authority it
grants leases; as the bell it only wakes who waits, and whatever is wrong with it is a warning.

Limit: what one moment shows. Nothing is changed but a key of ours that is removed again.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from volumelease.authorities.redis.addresses import RedisAddress
from volumelease.authorities.redis.connecting import close, connect, greet
from volumelease.authorities.redis.troubles import PERMISSIONS, asked
from volumelease.authorities.volume import founding
from volumelease.errors import LeaseError

from .checks import Check, Patient
from .places import settings_of_this_process
from .reading import Reader, patiently

_SAMPLES: Final = 40
_ANSWER_SECONDS: Final = 5.0
"""Patient enough to measure a slow one."""

_BEATS_IN_TTL: Final = 3
_MUCH_USED: Final = 0.8
_SKEW_SECONDS: Final = 2.0

_SCRIPT: Final = """\
redis.call('HSET', KEYS[1], 'a', ARGV[1])
local seen = redis.call('HGET', KEYS[1], 'a')
redis.call('DEL', KEYS[1])
return seen
"""


@dataclass(frozen=True, slots=True)
class Server:
    """What is examined. ``facts``: the lines of ``INFO``. ``grants``: it is to be the authority,
    else the bell. ``ttl``: seconds, of the volume."""

    client: Any
    address: RedisAddress
    grants: bool
    ttl: float
    facts: Mapping[str, Any]

    def ask(self, *words: Any) -> Any:
        """Errors: those of ``asked``."""
        return asked(self.address, lambda: self.client.execute_command(*words))

    def setting(self, name: str) -> str | None:
        """Of its configuration; None where that may not be asked for."""
        try:
            found = asked(self.address, lambda: self.client.config_get(name))
        except LeaseError:
            return None
        values = {_text(key): _text(value) for key, value in found.items()}
        return values.get(name)


def purpose(patient: Patient | None) -> tuple[bool, float]:
    """(whether Redis is to grant the leases of that volume, the ttl in seconds). Without a volume
    it is; where none was made yet, if one made now would ask it to."""
    settings = settings_of_this_process()
    ttl = settings.ttl or founding.DEFAULT_TTL_SECONDS
    if patient is None:
        return True, ttl
    if patient.place is None:
        fit = patient.verdict.suitable == "proven"
        return settings.authority == "redis" or (settings.authority == "auto" and not fit), ttl
    root = patient.place.volume.real_root
    try:
        identity = patiently(lambda: Reader(root).look().identity, root)
    except LeaseError:  # the checks of the volume have said so
        return settings.authority == "redis", ttl
    return identity.authority == "redis", identity.ttl


def examine(address: RedisAddress, *, grants: bool, ttl: float) -> Iterator[Check]:
    """One check after the other. Once it can't be reached the others are left out."""
    try:
        client = connect(address, answer_seconds=_ANSWER_SECONDS)
    except LeaseError as error:
        yield _judged(Check("redis", "fail", error.what, error.advice), grants)
        return
    try:
        server = Server(client, address, grants, ttl, {})
        there = _careful(_reach, server)
        yield there
        if there.outcome == "ok":
            server = _informed(server)
            for examination in _FOR_LEASES if grants else _FOR_A_BELL:
                yield _careful(examination, server)
    finally:
        close(client)


Examination = Callable[[Server], Check]


def _careful(examination: Examination, server: Server) -> Check:
    name = examination.__name__.strip("_")
    name = "redis" if name == "reach" else f"redis-{name}"
    try:
        found = replace(examination(server), name=name)
    except LeaseError as error:
        found = Check(name, "fail", error.what, error.advice)
    return _judged(found, server.grants)


def _judged(check: Check, grants: bool) -> Check:
    """A bell is not needed: its trouble costs waiters some milliseconds."""
    if grants or check.outcome == "ok":
        return check
    return replace(check, outcome="warn", detail=f"{check.detail}; waiters poll without it")


def _informed(server: Server) -> Server:
    try:
        facts = asked(server.address, server.client.info)
    except LeaseError:  # each check says that it could not see
        return server
    return replace(server, facts=facts)


def _reach(server: Server) -> Check:
    said = greet(server.client, server.address)
    name = {"redis": "Redis", "valkey": "Valkey"}.get(said.get("server", ""), "a server")
    purpose = "grants the leases" if server.grants else "rings the bell"
    detail = f"{server.address} is {name} {said.get('version', '')}, a master; it {purpose}"
    return Check("", "ok", detail)


def _scripts(server: Server) -> Check:
    """Permission for keys, commands and scripts, as whatever leases do there needs it."""
    name = os.urandom(4).hex()
    seen = server.ask("EVAL", _SCRIPT, 1, f"{{volumelease:doctor-{name}}}:scratch", name)
    if _text(seen) != name:
        return Check("", "fail", "what a script wrote is not what it read", "Replace the server")
    return Check("", "ok", f"run, and may use keys and scripts as {server.address.user}")


def _channel(server: Server) -> Check:
    """Publish to oneself."""
    channel = f"volumelease:{{doctor-{os.urandom(4).hex()}}}:bell"
    subscription = server.client.pubsub()

    def hear() -> bool:
        subscription.subscribe(channel)
        until = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < until:
            message = subscription.get_message(timeout=1.0)
            if message and message["type"] == "subscribe":
                server.client.publish(channel, "x")
            if message and message["type"] == "message":
                return True
        return False

    try:
        heard = asked(server.address, hear)
    finally:
        subscription.close()
    if not heard:
        return Check("", "fail", "what was published was not heard", "Look at the log of Redis")
    return Check("", "ok", "what is published is heard: waiters are woken")


def _latency(server: Server) -> Check:
    times = []
    for _ in range(_SAMPLES):
        began = time.perf_counter()
        server.ask("PING")
        times.append(time.perf_counter() - began)
    p50, worst = statistics.median(times), max(times)
    beat = server.ttl / _BEATS_IN_TTL
    detail = f"a call takes {p50 * 1e3:.2f} ms (p50), {worst * 1e3:.2f} ms at worst; "
    detail += f"a beat is due every {beat:g} s"
    if worst <= beat / 10:
        return Check("", "ok", detail)
    advice = "Use a Redis that is nearer or less busy, or make volumes with a longer ttl"
    return Check("", "fail" if worst > beat else "warn", detail, advice)


def _role(server: Server) -> Check:
    if "role" not in server.facts:
        return _unseen("INFO replication")
    role, host = server.facts.get("role"), server.facts.get("master_host")
    if role != "master":
        detail = f"it is a replica of {host}"
        return Check("", "fail", detail, "Name the master, or the sentinels")
    if server.address.kind == "sentinel":
        return _sentinels(server)
    detail = "master"
    if server.facts.get("connected_slaves"):
        detail += ", reached by its own address: a failover is not followed"
        return Check("", "warn", detail, "Name the sentinels: redis+sentinel://host,host/service")
    return Check("", "ok", detail)


def _sentinels(server: Server) -> Check:
    manager = server.client.connection_pool.sentinel_manager
    name = server.address.service
    state = asked(server.address, lambda: manager.sentinels[0].sentinel_master(name))
    sentinels = int(state["num-other-sentinels"]) + 1
    detail = f"master of {name!r}, by {sentinels} sentinels, quorum {state['quorum']}"
    if sentinels < 3:
        return Check("", "warn", detail, "Run three sentinels: fewer can't outvote a lost one")
    return Check("", "ok", detail)


def _eviction(server: Server) -> Check:
    policy = server.facts.get("maxmemory_policy")
    if policy is None:
        return _unseen("INFO memory")
    if policy == "noeviction":
        return Check("", "ok", "maxmemory-policy noeviction: no lease is thrown out for another")
    advice = "CONFIG SET maxmemory-policy noeviction, and in its configuration too"
    if not server.facts.get("maxmemory"):
        detail = f"maxmemory-policy {policy}; without a maxmemory nothing is thrown out"
        return Check("", "warn", detail, advice)
    detail = f"maxmemory-policy {policy}: a lease can be thrown out, and given to a second writer"
    return Check("", "fail", detail, advice)


def _memory(server: Server) -> Check:
    if "used_memory" not in server.facts:
        return _unseen("INFO memory")
    used, limit = int(server.facts["used_memory"]), int(server.facts.get("maxmemory", 0))
    detail = f"{_mib(used)} used"
    if not limit:
        return Check("", "ok", f"{detail}, no maxmemory")
    detail += f" of {_mib(limit)} (maxmemory)"
    advice = "Raise maxmemory, or give leases a Redis of their own"
    if used >= limit:
        return Check("", "fail", f"{detail}: leases are refused", advice)
    crowded = used > _MUCH_USED * limit
    return Check("", "warn" if crowded else "ok", detail, advice if crowded else "")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def _persistence(server: Server) -> Check:
    """What a restart costs. Whoever holds a lease keeps it either way: it claims it again."""
    if "aof_enabled" not in server.facts:
        return _unseen("INFO persistence")
    facts = server.facts
    cost = f"a restart costs waiters one ttl ({server.ttl:g} s), and no holder its lease"
    failed = [
        name
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if facts.get(name, "ok") != "ok"
    ]
    if failed:
        detail = f"it can't write to its disk ({', '.join(failed)}): it may refuse leases"
        return Check("", "fail", detail, "Look at the disk and the log of Redis")
    if facts.get("aof_enabled"):
        policy = server.setting("appendfsync")
        kept = f"AOF, appendfsync {policy}" if policy else "AOF"
        return Check("", "ok", f"{kept}; {cost}")
    detail = f"no AOF; {cost}, but tokens go on only by the server's clock"
    return Check("", "warn", detail, "CONFIG SET appendonly yes, and in its configuration too")


def _replicas(server: Server) -> Check:
    """A master that was deposed and doesn't know grants leases that its successor grants too."""
    if "connected_slaves" not in server.facts:
        return _unseen("INFO replication")
    replicas = int(server.facts.get("connected_slaves", 0))
    least = server.setting("min-replicas-to-write")
    if replicas == 0 and server.address.kind != "sentinel":
        return Check("", "ok", "none, so nobody takes its place")
    detail = f"{replicas} connected, min-replicas-to-write {least if least else 'unknown'}"
    if least is None:
        return Check("", "warn", detail, "Permit CONFIG GET, or see that it is at least 1")
    if int(least) > replicas:
        return Check("", "fail", f"{detail}: leases are refused", "Bring the replicas back")
    if int(least) == 0:
        detail += ": a master that was cut off goes on granting what its successor grants too"
        return Check("", "warn", detail, "CONFIG SET min-replicas-to-write 1, on each of them")
    return Check("", "ok", detail)


def _clock(server: Server) -> Check:
    before = time.time()
    seconds, microseconds = server.ask("TIME")
    ahead = int(seconds) + int(microseconds) / 1e6 - (before + time.time()) / 2
    detail = f"the server's clock and this host's differ by {abs(ahead):.1f} s"
    if abs(ahead) > _SKEW_SECONDS:
        advice = "Set the clocks (NTP); leases compare none, but the times shown are off"
        return Check("", "warn", detail, advice)
    return Check("", "ok", f"{detail}; no lease ends by it")


def _unseen(command: str) -> Check:
    return Check("", "warn", f"{command} is not permitted", f"ACL SETUSER NAME {PERMISSIONS}")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


_FOR_A_BELL: Final[tuple[Examination, ...]] = (_channel, _latency)
_FOR_LEASES: Final[tuple[Examination, ...]] = (
    _scripts,
    _channel,
    _latency,
    _role,
    _eviction,
    _memory,
    _persistence,
    _replicas,
    _clock,
)
