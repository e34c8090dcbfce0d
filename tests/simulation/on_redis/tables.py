"""What a simulated Redis keeps of each volume, read from its keys and not from a script's reply."""

from __future__ import annotations

from dataclasses import dataclass

from volumelease.authorities.redis.calling import state_key, text
from volumelease.authorities.redis.tokens import token_of
from volumelease.core.conflicts import overlaps

from .memory import Memory


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Keys as they conflict."""

    token: int
    session: str
    number: int
    owner: str
    keys: tuple[str, ...]
    exclusive: bool
    granted: bool
    breaking: bool

    def conflicts(self, other: Request) -> bool:
        if not (self.exclusive or other.exclusive):
            return False
        return any(overlaps(a, b) for a in self.keys for b in other.keys)


@dataclass(frozen=True, slots=True)
class Table:
    """``requests`` by token, oldest first; ``sessions`` by name with their counters; ``life`` of
    the server as it was when this memory began."""

    life: bytes
    incarnation: int
    nonce: str
    grace: str
    requests: dict[int, Request]
    sessions: dict[str, int]

    def blocked(self, request: Request) -> bool:
        """Whether an older request, granted or waiting, is in its way."""
        for token, other in self.requests.items():
            if token >= request.token:
                return False
            if other.conflicts(request):
                return True
        return False


EMPTY = Table(b"", 0, "", "", {}, {})


class Tables:
    """The tables of one server, by the identity of their volume."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._known: dict[str, tuple[int, Table]] = {}

    def of(self, volume: str) -> Table:
        """As it is now."""
        writes, table = self._known.get(volume, (-1, EMPTY))
        if writes != self._memory.writes:
            table = self._read(volume)
            self._known[volume] = self._memory.writes, table
        return table

    def _read(self, volume: str) -> Table:
        keys = self._memory.keys
        name = state_key(volume).encode()
        state = keys.get(name)
        if state is None or b"incarnation" not in state:
            return EMPTY
        base = name.removesuffix(b"state") + state[b"incarnation"] + b":"
        requests, sessions = base + b"r:", base + b"s:"
        found = [
            _request(key.removeprefix(requests), value)
            for key, value in keys.items()
            if key.startswith(requests)
        ]
        found.sort(key=lambda request: request.token)
        names = {
            text(key.removeprefix(sessions)): int(value[b"counter"])
            for key, value in keys.items()
            if key.startswith(sessions)
        }
        by_token = {request.token: request for request in found}
        incarnation, nonce = int(state[b"incarnation"]), text(state[b"nonce"])
        grace = text(state[b"grace"])
        return Table(state[b"life"], incarnation, nonce, grace, by_token, names)

    def strangers(self, volume: str) -> list[bytes]:
        """Keys of that volume that are not of its present memory."""
        name = state_key(volume).encode()
        base = name.removesuffix(b"state")
        now = base + b"%d:" % self.of(volume).incarnation
        return [
            key
            for key in self._memory.keys
            if key.startswith(base) and key != name and not key.startswith(now)
        ]


def volume_of(key: str) -> str:
    """The identity that the keys of a call belong to."""
    return key.partition(":")[2].partition("}")[0]


def _request(token: bytes, fields: dict[bytes, bytes]) -> Request:
    return Request(
        token=token_of(token),
        session=text(fields[b"s"]),
        number=int(fields[b"n"]),
        owner=text(fields[b"o"]),
        keys=tuple(text(fields[b"k"]).split("\0")),
        exclusive=fields[b"x"] == b"1",
        granted=fields[b"g"] != b"",
        breaking=b"b" in fields,
    )
