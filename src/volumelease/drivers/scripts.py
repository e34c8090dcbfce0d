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

from .threads import Performer

_COMMON: Final = "table"


def read_scripts(folder: Path) -> dict[str, str]:
    """The scripts of a folder by name: each is the text of ``table.lua`` and its own."""
    common = (folder / f"{_COMMON}.lua").read_text(encoding="utf-8")
    return {
        path.stem: f"{common}\n{path.read_text(encoding='utf-8')}"
        for path in folder.glob("*.lua")
        if path.stem != _COMMON
    }


class Scripts:
    """Performs ``CallScript`` on one Redis and leaves everything else to ``below``. Any number of
    threads may call.

    ``connect`` makes a client of redis-py, at the first call; ``translate`` says what an error of
    it means. With ``replicas``, a reply counts only once so many replicas have what it stands for
    (WAIT): else its outcome is unknown. Errors: those of ``CallScript``.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        scripts: Mapping[str, str],
        translate: Callable[[Exception], LeaseError],
        below: Performer,
        replicas: int = 0,
        wait_seconds: float = 1.0,
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

    def perform(self, effect: Effect) -> Any:
        if type(effect) is not CallScript:
            return self._below.perform(effect)
        try:
            return self._call(effect)
        except LeaseError:
            raise
        except Exception as error:  # noqa: BLE001 - translated; its trace may hold a password
            raise self._translate(error) from None

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _call(self, effect: CallScript) -> Any:
        if self._client is None:
            self._client = self._connect()
        pool = self._client.connection_pool
        connection = pool.get_connection()
        whole = False
        try:
            reply = self._evaluate(connection, effect)
            if self._replicas:
                connection.send_command("WAIT", self._replicas, self._wait_milliseconds)
                reached = connection.read_response()
                if reached < self._replicas:
                    whole = True
                    raise AuthorityUnreachable(
                        f"only {reached} of {self._replicas} replicas of the Redis have it",
                        advice="Look at the replicas: volumelease doctor",
                        root=None,
                        seconds=self._wait_milliseconds / 1000,
                    )
            whole = True
            return reply
        except Exception as error:
            whole = whole or _was_a_reply(error)
            raise
        finally:
            if not whole:
                connection.disconnect()
            pool.release(connection)

    def _evaluate(self, connection: Any, effect: CallScript) -> Any:
        script = effect.script
        rest = (1, effect.key, *effect.arguments)
        connection.send_command("EVALSHA", self._digests[script], *rest)
        try:
            return connection.read_response()
        except Exception as error:
            if type(error).__name__ != "NoScriptError":
                raise
        connection.send_command("EVAL", self._scripts[script], *rest)
        return connection.read_response()


def _was_a_reply(error: Exception) -> bool:
    """Whether the server said so itself, and the connection is in order."""
    from redis.exceptions import ResponseError

    return isinstance(error, ResponseError)
