"""The scripts performed by fakeredis, which runs them in this process: for machines without a
server. What it says proves nothing that a real server does not say too."""

from __future__ import annotations

from typing import Any

import fakeredis
from fakeredis._commands import command
from fakeredis._socket._fakesocket import FakeSocket

from tests.authorities.redis_table import RedisTable
from volumelease.effects import CallScript
from volumelease.leases.redis_hosting import texts_of_scripts

LIFE = b"a" * 40


def info(socket: FakeSocket, *sections: bytes) -> bytes:
    """The one command of the scripts that fakeredis lacks."""
    del socket, sections
    return b"maxmemory:0\r\nmaxmemory_policy:noeviction\r\nmaster_replid:%s\r\n" % LIFE


if not hasattr(FakeSocket, "info"):
    setattr(FakeSocket, "info", command(name="INFO", fixed=(), repeat=(bytes,))(info))  # noqa: B010


class FakeScripts:
    """Performs ``CallScript``, and nothing else."""

    def __init__(self) -> None:
        self._client = fakeredis.FakeRedis(version=(7,))

    def perform(self, effect: Any) -> Any:
        assert isinstance(effect, CallScript)
        text = texts_of_scripts()[effect.script]
        return self._client.eval(text, 1, effect.key, *effect.arguments)

    def close(self) -> None:
        self._client.close()


def fake_table() -> RedisTable:
    return RedisTable(FakeScripts(), grace=False)
