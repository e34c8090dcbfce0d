"""What a Redis says when it does not serve, in words of ours.

Every error that leaves here names the server and the way out, and has no password: not in its
text, not in what it carries, and not in the errors behind it, whose frames hold credentials.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from volumelease.errors import (
    AuthorityUnreachable,
    AuthorityUnsuitable,
    LeaseError,
)

from .addresses import FILE_SETTING, URL_SETTING, RedisAddress

T = TypeVar("T")

LONGEST_TEXT: Final = 300
PERMISSIONS: Final = "~{volumelease:* &volumelease:* +@all -@dangerous +info"
"""What the user of the address needs, as ``ACL SETUSER`` takes it."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """``signs``: what its text holds, in lower case. ``passing``: it may be over by itself, so
    nothing is known of the call."""

    code: str
    signs: tuple[str, ...]
    what: str
    advice: str
    passing: bool = False


_TROUBLES: Final = (
    _Trouble(
        "SENTINELAUTH",
        ("no master found: authenticationerror",),
        "has sentinels that ask for another password",
        f"Give it in {URL_SETTING}: ?sentinel_password=, and sentinel_username= if they have users",
    ),
    _Trouble(
        "NOAUTH",
        ("authentication required", "noauth"),
        "asks for a password",
        f"Give it in {URL_SETTING} (:password@host), or in the file that {FILE_SETTING} names",
    ),
    _Trouble(
        "NOPASSWORD",
        ("without any password configured", "but no password is set"),
        "has no password, and one was given",
        f"Leave it away in {URL_SETTING} and {FILE_SETTING}, or set one in Redis (requirepass)",
    ),
    _Trouble(
        "WRONGPASS",
        ("wrongpass", "invalid username-password", "invalid password", "for 'auth' command"),
        "refuses the password of {user}",
        f"Correct it in {URL_SETTING}, or in the file that {FILE_SETTING} names",
    ),
    _Trouble(
        "NOPERM",
        ("noperm", "no permission", "user executing the script can't"),
        "does not permit {user} what leases need: {text}",
        f"ACL SETUSER NAME {PERMISSIONS}",
    ),
    _Trouble(
        "DENIED",
        ("running in protected mode",),
        "is in protected mode and lets nobody in from another host",
        "Set a password and bind it to an address, or set protected-mode no in Redis",
    ),
    _Trouble(
        "READONLY",
        ("readonly", "read only replica", "previous master is now a slave"),
        "is a read-only replica",
        f"Name its master in {URL_SETTING}, or the sentinels: redis+sentinel://host,host/service",
        passing=True,  # a failover: the greeting finds those that are meant to be one
    ),
    _Trouble(
        "OOM",
        ("oom ", "'maxmemory'"),
        "has no memory left (maxmemory is reached)",
        "Raise maxmemory in Redis, or remove keys; keep maxmemory-policy noeviction",
    ),
    _Trouble(
        "MISCONF",
        ("misconf",),
        "can't write to its disk, and takes no writes until it can",
        "Look at the disk and the log of Redis",
    ),
    _Trouble(
        "NOREPLICAS",
        ("noreplicas", "not enough good replicas"),
        "has fewer replicas at hand than min-replicas-to-write asks for, and takes no writes",
        "Bring a replica back, or lower min-replicas-to-write",
        passing=True,
    ),
    _Trouble(
        "CLUSTER",
        ("moved ", "ask ", "crossslot", "clusterdown", "hash slot"),
        "is part of a Redis Cluster, which does not carry leases",
        "Use a single Redis, with replicas and sentinels if it must not be alone",
    ),
    _Trouble(
        "VERSION",
        ("unknown command `hello", "unknown command 'hello"),
        "is Redis {version}; leases need at least 6.2",
        "Upgrade it, or use Valkey",
    ),
    _Trouble(
        "NOSCRIPTING",
        tuple(
            f"unknown command {quote}{name}"
            for quote in "'`"
            for name in ("eval", "script", "fcall")
        ),
        "runs no Lua scripts, which every lease is",
        "Permit EVAL and EVALSHA there (rename-command, or the plan of the provider)",
    ),
    _Trouble(
        "DATABASE",
        ("db index is out of range", "invalid db index"),
        "has no database {database}",
        f"Name another at the end of {URL_SETTING}, or raise databases in Redis",
    ),
    _Trouble(
        "PROTOCOL",
        ("protocol error", "protocol:", "bad response from ping"),
        "does not speak the protocol of Redis",
        f"Correct host and port in {URL_SETTING}; a server with TLS needs rediss://",
    ),
    _Trouble(
        "TLS",
        ("[ssl", "certificate verify failed", "ssl:"),
        "did not come to terms over TLS: {text}",
        "Name the CA (?ssl_ca_certs=FILE) and the host as its certificate does; redis:// is "
        "without TLS",
    ),
    _Trouble(
        "LOADING",
        ("loading",),
        "is still loading its data",
        "Wait until it has; its log says how far it is",
        passing=True,
    ),
    _Trouble(
        "MASTERDOWN",
        ("masterdown", "link with master is down"),
        "is a replica that lost its master",
        f"Bring its master back, or name the sentinels in {URL_SETTING}",
        passing=True,
    ),
    _Trouble(
        "BUSY",
        ("busy running a script", "busy "),
        "is busy with a script that takes too long",
        "Wait, or end it with SCRIPT KILL in redis-cli",
        passing=True,
    ),
    _Trouble(
        "MAXCLIENTS",
        ("max number of clients",),
        "has as many clients as it takes (maxclients)",
        "Raise maxclients in Redis, or find out who keeps connections open",
        passing=True,
    ),
    _Trouble(
        "NOREPLY",
        ("no reply of ",),
        "answered what no Redis says to that: {text}",
        f"See what listens there, and what stands in between: {URL_SETTING}",
        passing=True,
    ),
    _Trouble(
        "NOMASTER",
        ("no master found",),
        "knows no master of that service, or no sentinel answered",
        f"Compare the service in {URL_SETTING} with: redis-cli -p 26379 sentinel masters",
        passing=True,
    ),
)


def translated(error: BaseException, address: RedisAddress) -> LeaseError | None:
    """That error of redis-py or of the system in our words; None for one of neither."""
    from redis.exceptions import RedisError

    known = getattr(error, "problem", error)
    if isinstance(known, LeaseError):
        return known
    if not isinstance(error, RedisError | OSError):
        return None
    text = _text_of(error, address)
    for trouble in _TROUBLES:
        if any(sign in text.lower() for sign in trouble.signs):
            return _as_error(trouble, text, address)
    return _not_there(error, text, address)


def asked(address: RedisAddress, ask: Callable[[], T]) -> T:
    """What ``ask`` returns. What redis-py raises is raised in our words, with nothing behind it.

    Errors: ``AuthorityUnreachable`` (nobody knows whether it was done), ``AuthorityUnsuitable``.
    """
    try:
        return ask()
    except Exception as error:
        problem = translated(error, address)
        if problem is None:
            raise
    raise problem  # here, not above: an error raised in an except block remembers the other


async def asked_in_loop(address: RedisAddress, ask: Callable[[], Awaitable[T]]) -> T:
    """``asked`` for a client of asyncio."""
    try:
        return await ask()
    except Exception as error:
        problem = translated(error, address)
        if problem is None:
            raise
    raise problem


def trouble_of(
    code: str, address: RedisAddress, *, text: str = "", version: str = ""
) -> AuthorityUnsuitable:
    """What was found out without an error of Redis, in the same words."""
    (trouble,) = [one for one in _TROUBLES if one.code == code]
    return unsuitable(address, code, _words(trouble, text, address, version), trouble.advice)


def _words(trouble: _Trouble, text: str, address: RedisAddress, version: str) -> str:
    version = version or "older than 6"
    return trouble.what.format(
        user=address.user, database=address.database, text=text, version=version
    )


def _as_error(trouble: _Trouble, text: str, address: RedisAddress) -> LeaseError:
    words = _words(trouble, text, address, "")
    if trouble.passing:
        return _unreachable(address, trouble.code, words, trouble.advice)
    return unsuitable(address, trouble.code, words, trouble.advice)


def _unreachable(address: RedisAddress, code: str, words: str, advice: str) -> LeaseError:
    facts = {"redis": str(address), "code": code, "root": None, "seconds": None}
    return AuthorityUnreachable(f"{address} {words}", advice=advice, **facts)


def unsuitable(address: RedisAddress, code: str, words: str, advice: str) -> AuthorityUnsuitable:
    return AuthorityUnsuitable(f"{address} {words}", advice=advice, redis=str(address), code=code)


def _not_there(error: BaseException, text: str, address: RedisAddress) -> LeaseError:
    """Nothing that Redis said: how the way to it failed, else whatever it is."""
    import socket
    import ssl

    from redis.exceptions import ResponseError
    from redis.exceptions import TimeoutError as RedisTimeout

    advice = f"Start it, or correct {URL_SETTING}"
    cause = _cause_of(error)
    code, words = "SILENT", f"is not to be reached: {text}"
    if isinstance(error, ResponseError):
        return unsuitable(address, "OTHER", f"refuses: {text}", "Look at the log of Redis")
    if isinstance(error, RedisTimeout) or isinstance(cause, TimeoutError):
        words = "did not answer in time"
        advice = "Look whether it runs, and whether a firewall stands between"
        if address.tls:  # the first words of TLS are the beginning of a command to a plain one
            advice = "Look whether it runs, and whether it speaks TLS there; redis:// is without"
    elif isinstance(cause, socket.gaierror):
        words, advice = "has a host that nobody knows", f"Correct the host in {URL_SETTING}"
    elif isinstance(cause, ssl.SSLError):
        return trouble_of("TLS", address, text=str(cause))
    elif "closed by server" in text.lower() or isinstance(cause, ConnectionResetError):
        words = "closed the connection"
        advice = "Look whether it restarts; a server with TLS needs rediss://"
    elif isinstance(cause, ConnectionRefusedError):
        words = "refuses connections: nobody listens there"
    elif isinstance(cause, FileNotFoundError):
        words = "has no socket there"
    elif isinstance(cause, PermissionError):
        words = "does not let this user connect to its socket"
        advice = "Permit it there (unixsocketperm), or run as another user"
    return _unreachable(address, code, words, advice)


def _cause_of(error: BaseException) -> BaseException | None:
    """The ``OSError`` that it began with."""
    seen = 0
    found: BaseException | None = error
    while found is not None and not isinstance(found, OSError) and seen < 10:
        found, seen = found.__cause__ or found.__context__, seen + 1
    return found


def _text_of(error: BaseException, address: RedisAddress) -> str:
    """What it says, without a password: servers repeat the arguments of a call that they don't
    know."""
    text = " ".join(str(error).split()) or type(error).__name__
    name = type(error).__name__
    with suppress(LeaseError):
        for password in (address.password, address.sentinel_password):
            if secret := password.reveal():
                text = text.replace(secret, "(hidden)")
    # redis-py takes the code off the text and keeps it in the class.
    code = _CODES.get(name, "")
    if name == "MasterNotFoundError":
        if "AuthenticationError" in text:
            return f"{code} AuthenticationError"
        text = text.rpartition(" - ")[2]  # what the last sentinel said, not how redis-py names it
    return f"{code} {text}"[:LONGEST_TEXT].strip() if code else text[:LONGEST_TEXT]


_CODES: Final = {
    "NoPermissionError": "NOPERM",
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "BusyLoadingError": "LOADING",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "ClusterDownError": "CLUSTERDOWN",
    "ClusterCrossSlotError": "CROSSSLOT",
    "MasterDownError": "MASTERDOWN",
    "MasterNotFoundError": "No master found:",
    "InvalidResponse": "PROTOCOL:",
}
