"""Drive the scripts of a real Redis with histories of the core's table, move by move."""

from __future__ import annotations

import secrets
from typing import Any, Protocol

from volumelease.authorities.redis.calling import raw, state_key
from volumelease.core import records
from volumelease.core.records import Entry
from volumelease.drivers.files import Files
from volumelease.effects import CallScript
from volumelease.leases.redis_hosting import scripts_on
from volumelease.settings import Settings


class Performing(Protocol):
    def perform(self, effect: Any) -> Any: ...

    def close(self) -> None: ...


class RedisTable:
    """One fresh volume on a Redis, which takes the entries of a log. ``said`` is what the last
    call replied."""

    def __init__(self, redis: str | Performing, *, grace: bool, glance: bool = True) -> None:
        """``redis``: the address of a server, or what performs scripts instead of one. Without
        ``glance``, no call names all of its memory, so the general rules decide each."""
        self._scripts: Performing = (
            scripts_on(Settings(redis_url=redis), "/volume", Files())
            if isinstance(redis, str)
            else redis
        )
        self.volume = secrets.token_hex(6)
        self.incarnation = 0
        self.nonce = "first"
        self.glance = glance
        self.names: dict[int, str] = {}
        """Token in Redis of each index."""
        self.numbers: dict[int, tuple[str, int]] = {}
        self.last: dict[str, int] = {}
        self.counters: dict[str, int] = {}
        if grace:
            self.call("nobody", "open", "", 0)
            self.call("nobody", "close")
        else:
            self.call("nobody", "found")
            self.call("nobody", "found", self.nonce)

    def close(self) -> None:
        self._scripts.close()

    def call(self, session: str, script: str, *arguments: Any) -> list[Any]:
        effect = CallScript(script, state_key(self.volume), (*self._head(session), *arguments))
        reply: list[Any] = self._scripts.perform(effect)
        if script in ("open", "found") and not self.incarnation:
            self.incarnation = int(self.picture()[1])
        return reply

    def _head(self, session: str) -> tuple[Any, ...]:
        known = f"{self.incarnation} {self.nonce}" if self.glance else self.incarnation
        return (known if self.incarnation else 0, self.nonce, session, "1")

    def picture(self) -> list[Any]:
        reply: list[Any] = self._scripts.perform(CallScript("picture", state_key(self.volume), ()))
        return reply

    def index_of(self, name: bytes) -> int:
        found = [index for index, known in self.names.items() if known == name.decode()]
        return found[0]

    def state(self) -> dict[int, tuple[str, bool, bool, bool]]:
        """Session, mode, granted and breaking of every request, by index."""
        return {
            self.index_of(token): (session.decode(), x == b"1", granted != b"", by != b"")
            for token, session, x, granted, _, _, by, _ in self.picture()[4]
        }

    def sessions(self) -> set[str]:
        return {name.decode() for name, _, _ in self.picture()[3]}

    def apply(self, index: int, entry: Entry) -> list[Any] | None:
        """Make the call that stands for an entry; None for what only a log has."""
        author, body = entry.author, entry.body
        match body:
            case records.Open():
                self.counters[author] = 1
                return self.call(author, "open", "", 1)
            case records.Request():
                return self._request(index, author, body)
            case records.Cancel(token) | records.Release(token):
                if self.numbers.get(token, ("", 0))[0] != author:
                    return [b"void"]
                number = self.numbers[token][1]
                also = int(isinstance(body, records.Cancel))
                floor = self.last.get(author, 0) + 1
                return self.call(author, "release", number, floor, also)
            case records.Downgrade(token):
                if self.numbers.get(token, ("", 0))[0] != author:
                    return [b"void"]
                return self.call(author, "downgrade", self.numbers[token][1])
            case records.Expire(victim):
                return self.call(author, "expire", victim, self.counters.get(victim, 1))
            case records.Close():
                return self.call(author, "close")
            case records.Breaking(token, reason):
                return self.call(author, "break", self.names.get(token, "none"), "mark", reason)
            case records.Broken(token):
                return self.call(author, "break", self.names.get(token, "none"), "end", "")
            case records.Ready():
                return self.call(author, "ready", self.nonce)
            case records.Moved(authority):
                return self._move(author, authority)
            case _:
                return None

    def _move(self, author: str, authority: str) -> list[Any]:
        """By whichever of its requests it may."""
        reply: list[Any] = [b"void"]
        for owner, number in self.numbers.values():
            if owner == author and reply == [b"void"]:
                reply = self.call(author, "move", number, authority, "a log")
        return reply

    def _request(self, index: int, author: str, body: records.Request) -> list[Any]:
        number = self.last[author] = self.last.get(author, 0) + 1
        keys = b"\0".join(raw(claim.key) for claim in body.claims)
        mode = int(body.exclusive)
        reply = self.call(author, "acquire", number, 1, mode, body.owner, keys, "", "")
        if reply[0] in (b"granted", b"waiting"):
            self.names[index] = reply[1].decode()
            self.numbers[index] = (author, number)
        return reply
