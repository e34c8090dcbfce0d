"""A client of redis-py for an address, with threads or for an event loop, from one set of options.

Nothing is tried twice in here: whoever asks knows whether asking again is harmless. A connection
that stood idle is asked whether it still is one before it is used, and one that its server closed
is replaced. Replies are those of RESP2, as bytes. hiredis reads them where it is installed.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from volumelease.errors import AuthorityUnsuitable, LeaseError

from .addresses import URL_SETTING, Password, RedisAddress, address_in
from .troubles import asked, asked_in_loop, trouble_of, unsuitable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import redis
    import redis.asyncio

    from volumelease.settings import Settings

CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 1.0
UNBOUNDED: Final = 2**31 - 1
"""How many connections a client may make. Since its 8th version redis-py counts those that are made
without its pool for ever, also those that came to nothing, and ends at 100."""

IDLE_SECONDS: Final = 20
"""Firewalls forget a connection that is silent for longer than some minutes, without a word."""

OLDEST: Final = (6, 2)
"""The first whose scripts and ACLs do what is needed here."""


def connect(
    address: RedisAddress, *, answer_seconds: float = ANSWER_SECONDS, attempts: int = 1
) -> redis.Redis:
    """It connects with its first command; give it to ``close`` at the end. ``attempts`` above 1
    only where a command that was carried out twice does no harm.

    Errors: ``AuthorityUnsuitable`` without redis-py.
    """
    _need_redis()
    import redis
    from redis.retry import Retry

    options = _options(address, answer_seconds, _retry(Retry, attempts))
    if address.kind != "sentinel":
        return redis.Redis(**_place_options(address), **options)
    import redis.sentinel

    sentinel: Any = redis.sentinel.Sentinel
    master: redis.Redis = sentinel(
        address.places, sentinel_kwargs=_sentinel_options(address, options), **options
    ).master_for(address.service)
    return master


def connect_in_loop(
    address: RedisAddress, *, answer_seconds: float = ANSWER_SECONDS, attempts: int = 1
) -> redis.asyncio.Redis:
    """``connect`` for an event loop; give it to ``close_in_loop`` at the end, in that loop."""
    _need_redis()
    import redis.asyncio
    import redis.asyncio.sentinel
    from redis.asyncio.retry import Retry

    options = _options(address, answer_seconds, _retry(Retry, attempts))
    if address.kind != "sentinel":
        return redis.asyncio.Redis(**_place_options(address), **options)
    sentinel: Any = redis.asyncio.sentinel.Sentinel
    master: redis.asyncio.Redis = sentinel(
        address.places, sentinel_kwargs=_sentinel_options(address, options), **options
    ).master_for(address.service)
    return master


class RedisWire:
    """An address as the bell wants it. A message that is sent twice makes somebody look in vain,
    no more, so a connection that went stale is replaced at once."""

    def __init__(self, address: RedisAddress) -> None:
        self.address = address

    @classmethod
    def of(cls, settings: Settings) -> RedisWire | None:
        """Errors: ``SettingsInvalid``."""
        address = address_in(settings)
        return None if address is None else cls(address)

    def connect(self) -> redis.Redis:
        return connect(self.address, attempts=2)

    def close(self, client: redis.Redis) -> None:
        close(client)


def close(client: redis.Redis) -> None:
    """Close its connections, those to sentinels too, whatever state they are in."""
    for one in (client, *_sentinels_of(client)):
        with suppress(Exception):
            one.close()


async def close_in_loop(client: redis.asyncio.Redis) -> None:
    for one in (client, *_sentinels_of(client)):
        with suppress(Exception):
            await one.aclose()


def _sentinels_of(client: Any) -> list[Any]:
    found = getattr(client.connection_pool, "sentinel_manager", None)
    return list(found.sentinels) if found is not None else []


def greet(client: Any, address: RedisAddress) -> Mapping[str, Any]:
    """Ask who is there, once a connection is wanted for leases: ``server``, ``version``, ``role``
    and more. Every user may ask that (``HELLO``), and it changes nothing.

    Errors: ``AuthorityUnsuitable`` for a server that can't carry leases, as ``asked``.
    """
    said = greeting(asked(address, lambda: client.execute_command("HELLO")))
    if (problem := unfit(said, address)) is not None:
        raise problem
    return said


async def greet_in_loop(client: Any, address: RedisAddress) -> Mapping[str, Any]:
    """``greet`` for an event loop."""
    said = greeting(await asked_in_loop(address, lambda: client.execute_command("HELLO")))
    if (problem := unfit(said, address)) is not None:
        raise problem
    return said


def unfit(said: Mapping[str, Any], address: RedisAddress) -> AuthorityUnsuitable | None:
    """Why a server that greets so can't carry leases. Limit: a version that is no number is not
    judged, nor one of a server that calls itself something else than Redis."""
    if "version" not in said or "mode" not in said:
        return trouble_of("PROTOCOL", address)
    version = str(said["version"])
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if said.get("mode") == "sentinel":
        places = ",".join(f"{host}:{port}" for host, port in address.places)
        advice = f"Write redis+sentinel://{places}/SERVICE"
        return unsuitable(address, "SENTINEL", "is a sentinel, not a Redis", advice)
    if len(numbers) == 2 and numbers < OLDEST and said.get("server", "redis") == "redis":
        return trouble_of("VERSION", address, version=version)
    if said.get("mode") == "cluster":
        return trouble_of("CLUSTER", address)
    if said.get("role") in ("replica", "slave"):
        return trouble_of("READONLY", address)
    return None


def greeting(hello: Any) -> Mapping[str, Any]:
    """A reply to ``HELLO``, with texts for bytes, whichever protocol it came by; nothing of one
    that is none."""
    if not isinstance(hello, dict | list):
        return {}
    pairs = hello.items() if isinstance(hello, dict) else zip(hello[::2], hello[1::2], strict=False)
    return {_text(name): _text(value) for name, value in pairs}


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


class _Credentials:
    """What redis-py asks for whenever it connects. In its own options a password would stand in
    the open, for every traceback that shows variables."""

    def __init__(self, username: str, password: Password) -> None:
        self._username = username
        self._password = password

    def get_credentials(self) -> tuple[str, ...]:
        from redis.exceptions import AuthenticationError

        try:
            password = self._password.reveal()
        except LeaseError as error:
            told = AuthenticationError(error.what)  # redis-py lets go of a connection for its own
            told.problem = error  # type: ignore[attr-defined] # read by translated
            raise told from None
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str, ...]:
        return self.get_credentials()


def _options(address: RedisAddress, answer_seconds: float, retry: Any) -> dict[str, Any]:
    """What every connection is made with, to servers as to sentinels."""
    options: dict[str, Any] = {
        "db": address.database,
        "protocol": 2,
        "max_connections": UNBOUNDED,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": answer_seconds,
        "socket_keepalive": True,
        "health_check_interval": IDLE_SECONDS,
        "retry": retry,
        "credential_provider": _credentials(address.username, address.password),
    }
    if address.tls:
        options |= {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True}
        options |= dict(address.tls_options)
        checked = options["ssl_check_hostname"] in (True, "true", "yes", "1")
        options["ssl_check_hostname"] = checked and options["ssl_cert_reqs"] != "none"
    if address.kind == "unix":
        options.pop("socket_keepalive")
    return options


def _place_options(address: RedisAddress) -> dict[str, Any]:
    if address.kind == "unix":
        return {"unix_socket_path": address.path}
    ((host, port),) = address.places
    return {"host": host, "port": port}


def _sentinel_options(address: RedisAddress, options: dict[str, Any]) -> dict[str, Any]:
    mine = _credentials(address.sentinel_username, address.sentinel_password)
    return {**options, "db": 0, "credential_provider": mine}


def _credentials(username: str, password: Password) -> _Credentials | None:
    return _Credentials(username, password) if username or password else None


def _retry(kind: Callable[..., Any], attempts: int) -> Any:
    from redis.backoff import NoBackoff

    return kind(NoBackoff(), max(attempts, 1) - 1)  # redis-py takes -1 for "for ever"


def _need_redis() -> None:
    why = ""
    try:
        import_module("redis")
        import_module("redis.asyncio")
    except ImportError as error:
        why = str(error)
    if why:
        raise AuthorityUnsuitable(
            f"an address of a Redis is configured, and redis-py can't be imported: {why}",
            advice=f"pip install 'volumelease[redis]', or unset {URL_SETTING}",
            redis=None,
            code="NOMODULE",
        )
