"""Lua scripts performed on a Redis, in the calling thread.

A call is sent once: redis-py's own repetitions are not used, because only who asks knows what may
be asked twice. Whatever happens between sending and the whole reply, the connection is thrown
away, so that no reply is ever taken for that of a later call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from volumelease.effects import CallScript, Effect
from volumelease.errors import AuthorityUnreachable, LeaseError
from volumelease.wire.replies import is_reply

from .threads import Performer

_COMMON: Final = "table"
_TO_REPLICAS: Final = ("PUBLISH", "volumelease:wait", "")
"""Before each WAIT. It waits for what its own connection wrote last: on one on which a call only
found what an earlier one, on another, had written, newer servers wait for nothing. This goes to the
replicas behind all that, needs no memory, and has no subscribers."""


class NoReply(OSError):
    """What came back is no reply of the script that was called: whatever it did is not known."""


def read_scripts(folder: Path) -> dict[str, str]:
    """The scripts of a folder by name: each is the text of ``table.lua`` and its own, and before
    them that of ``quick``, if there is one."""
    common = (folder / f"{_COMMON}.lua").read_text(encoding="utf-8")
    quick = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("quick/*.lua")}
    return {
        path.stem: f"{quick.get(path.name, '')}{common}\n{path.read_text(encoding='utf-8')}"
        for path in folder.glob("*.lua")
        if path.stem != _COMMON
    }


class Scripts:
    """Performs ``CallScript`` on one Redis and leaves everything else to ``below``. Any number of
    threads may call. ``wait_seconds`` must be less than a client waits for an answer.

    ``connect`` makes a client of redis-py, at the first call; ``translate`` says what an error of
    it means. With ``replicas``, a reply counts only once so many replicas have what it stands for
    (WAIT): else its outcome is unknown. Errors: those of ``CallScript``.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        scripts: Mapping[str, str],
        translate: Callable[[Exception], Exception],
        below: Performer,
        replicas: int = 0,
        wait_seconds: float = 0.5,
    ) -> None:
        self._connect = connect
        self._scripts = scripts
        self._digests = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            for name, text in scripts.items()
        }
        self._translate = translate
        self._below = below
        self._replicas = replicas
        self._wait_milliseconds = round(wait_seconds * 1000)
        self._client: Any = None
        self._idle: list[Any] = []

    def perform(self, effect: Effect) -> Any:
        if type(effect) is not CallScript:
            return self._below.perform(effect)
        return self._translated(self._call, effect)

    def prepare(self) -> None:
        """Import redis-py and connect, so that the first call takes no longer than the others.
        Errors: those of ``CallScript``."""
        self._translated(lambda: self._idle.append(self._connection()))

    def _translated(self, work: Callable[..., Any], *arguments: Any) -> Any:
        trouble: Exception
        try:
            return work(*arguments)
        except LeaseError:
            raise
        except Exception as error:  # noqa: BLE001 - translated
            trouble = self._translate(error)
        raise trouble  # outside: raised inside, it would remember what may hold a password

    def close(self) -> None:
        client, self._client = self._client, None
        self._let_idle_go()
        if client is not None:
            client.close()

    def _call(self, effect: CallScript) -> Any:
        connection = self._connection()
        usable = False
        try:
            try:
                reply = self._evaluate(connection, effect)
            except Exception as error:
                usable = self._is_still_to_ask(error)
                raise
            if self._replicas:
                self._must_be_replicated(connection)
            usable = True
            return reply
        finally:
            if usable:
                self._idle.append(connection)
            else:
                connection.disconnect()
                self._let_idle_go()

    def _is_still_to_ask(self, error: Exception) -> bool:
        """Whether the server said so itself, and will be the one to ask. Where it may be over by
        itself, another one can have its place (a failover): only a new connection finds that."""
        from redis.exceptions import ResponseError

        passing = isinstance(self._translate(error), AuthorityUnreachable)
        return isinstance(error, ResponseError) and not passing

    def _let_idle_go(self) -> None:
        """What ended one connection has likely ended all; each would cost its user a call."""
        while self._idle:
            try:
                self._idle.pop().disconnect()
            except IndexError:  # another thread took it
                return

    def _connection(self) -> Any:
        """One that nobody uses: kept here and not in the pool of redis-py, which asks each
        connection whether it still is one (a sixth of what a lease costs)."""
        try:
            return self._idle.pop()
        except IndexError:
            if self._client is None:
                self._client = self._connect()
            connection = self._client.connection_pool.make_connection()
            connection.connect()
            return connection

    def _evaluate(self, connection: Any, effect: CallScript) -> Any:
        script, rest = effect.script, (b"1", effect.key, *effect.arguments)
        pack, send = connection.pack_command, connection.send_packed_command
        send(pack(b"EVALSHA", self._digests[script], *rest), False)
        try:
            return _reply(connection, script)
        except Exception as error:
            if type(error).__name__ != "NoScriptError":
                raise
        send(pack(b"EVAL", self._scripts[script], *rest), False)
        return _reply(connection, script)

    def _must_be_replicated(self, connection: Any) -> None:
        pack, wait = connection.pack_command, ("WAIT", self._replicas, self._wait_milliseconds)
        connection.send_packed_command([*pack(*_TO_REPLICAS), *pack(*wait)], False)
        _read(connection, "PUBLISH")
        reached = _read(connection, "WAIT")
        if type(reached) is not int:
            raise NoReply("no reply of WAIT")
        if reached < self._replicas:
            raise AuthorityUnreachable(
                f"only {reached} of the {self._replicas} replicas that "
                "VOLUMELEASE_REDIS_REPLICAS asks for have what the Redis decided",
                advice="Look at the replicas (redis-cli info replication), or lower "
                "VOLUMELEASE_REDIS_REPLICAS",
                root=None,
                seconds=self._wait_milliseconds / 1000,
            )


def _read(connection: Any, what: str) -> Any:
    try:
        return connection.read_response()
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # What redis-py raises where it took something else for the protocol of Redis.
        raise NoReply(f"no reply of {what}: {type(error).__name__}") from None


def _reply(connection: Any, script: str) -> Any:
    reply = _read(connection, script)
    if not is_reply(script, reply):
        raise NoReply(f"no reply of {script}")
    return reply
