"""Both ends of the daemon's socket, without the socket: bytes in, events out.

Rules, the same for both sides (PROTOCOL.md tells them to who writes a client):

* A message is one JSON object on one line, ASCII, at most ``MOST_BYTES`` with its end.
* The client's first message is ``hello`` and names the versions it speaks; the daemon answers
  with one of them, or with an error, and then closes.
* A request has an ``id`` that no request under way has. It gets one reply with that id: an
  ``answer`` or an ``error``. While it takes long, ``working`` says now and then that the daemon
  lives.
* What can't be understood gets an error that says why; too long a line, or something else than
  ``hello`` at first, also ends the connection, because nobody knows where the next message begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from volumelease.errors import LeaseError

from . import faults
from .fields import Malformed, decode_object, encode, no_bool, take

VERSIONS: Final = (1,)
NO_COMMON_VERSION: Final = "no common version"
"""How the refusal of another version's hello begins: for good, so that every version knows it."""

MOST_BYTES: Final = 65_536
MOST_ANSWER_BYTES: Final = 1 << 20
MOST_UNDER_WAY: Final = 64
"""Requests of one connection that wait for their reply."""

MOST_WRONG: Final = 100
"""Messages of one connection that were answered with an error; then it is closed."""

_LARGEST_ID: Final = 2**53


class ProtocolError(LeaseError):
    """What the other side said can't be understood."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """A client says hello. ``events``: it wants to be told of what happens."""

    version: int
    name: str
    events: bool


@dataclass(frozen=True, slots=True)
class Asked:
    id: int
    do: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wrong:
    """``reply`` is to be sent; ``last``: and then the connection is over."""

    reply: bytes
    last: bool


FromClient: TypeAlias = Greeted | Asked | Wrong


def _line(message: dict[str, Any]) -> bytes:
    return encode(message).encode() + b"\n"


class _Lines:
    """Cuts what arrives into lines. Keeps no more than one line's length of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""

    def cut(self, data: bytes) -> tuple[list[bytes], bool]:
        """The lines that are complete, and whether one is too long."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for number, line in enumerate(lines):
            if len(line) >= self._most:
                return lines[:number], True
        too_long = len(self._rest) >= self._most
        if too_long:
            self._rest = b""
        return lines, too_long


class ServerSide:
    """The daemon's end of one connection."""

    def __init__(self) -> None:
        self._lines = _Lines(MOST_BYTES)
        self._under_way: set[int] = set()
        self._greeted = False
        self._wrong = 0
        self.over = False

    def receive(self, data: bytes) -> list[FromClient]:
        """What arrived. After a ``Wrong`` that is the last nothing is heard any more."""
        events: list[FromClient] = []
        if self.over:
            return events
        lines, too_long = self._lines.cut(data)
        for line in lines:
            events.append(self._heard(line))
            if self.over:
                return events
        if too_long:
            what = f"a message of more than {MOST_BYTES} bytes"
            events.append(self._refuse(None, what, "Ask for fewer paths at once", last=True))
        return events

    def _heard(self, line: bytes) -> FromClient:
        try:
            message = decode_object(line.decode("ascii"))
        except (Malformed, UnicodeDecodeError, RecursionError) as error:
            return self._refuse(None, f"no JSON object in ASCII on one line: {error}"[:200])
        if not self._greeted:
            return self._greeting(message)
        number = message.pop("id", None)
        if type(number) is not int or not 0 <= number <= _LARGEST_ID:
            return self._refuse(None, "a request has an id, an integer from 0 to 2**53")
        if number in self._under_way:
            return self._refuse(None, f"request {number} is under way already")
        if len(self._under_way) >= MOST_UNDER_WAY:
            return self._refuse(number, f"{MOST_UNDER_WAY} requests are under way already")
        do = message.pop("do", None)
        if type(do) is not str:
            return self._refuse(number, "a request says what to do")
        self._under_way.add(number)
        return Asked(number, do, message)

    def _greeting(self, message: dict[str, Any]) -> FromClient:
        try:
            hello = take(message, "hello", dict)
            versions = take(hello, "versions", list)
            name = take(hello, "name", str, "")[:100]
            events = take(hello, "events", bool, True)
        except Malformed as error:
            what = f"the first message is no hello with the versions you speak: {error}"
            return self._refuse(None, what, last=True)
        spoken = [v for v in VERSIONS if v in versions and no_bool(versions)]
        if not spoken:
            ours = ", ".join(map(str, VERSIONS))
            what = f"{NO_COMMON_VERSION}: this daemon speaks {ours}, and you {versions!r}"[:200]
            return self._refuse(None, what, "Use a volumelease of the same version", last=True)
        self._greeted = True
        return Greeted(max(spoken), name, events)

    def _refuse(
        self,
        number: int | None,
        what: str,
        advice: str = "See PROTOCOL.md",
        *,
        last: bool = False,
    ) -> Wrong:
        self._wrong += 1
        last = last or not self._greeted or self._wrong >= MOST_WRONG
        self.over = self.over or last
        trouble = faults.encode_error(ProtocolError(what, advice=advice))
        return Wrong(_line({"id": number, "error": trouble}), last)

    # ---- what to send

    def welcome(self, version: int, about: dict[str, Any]) -> bytes:
        return _line({"hello": {"version": version, **about}})

    def answer(self, number: int, answer: dict[str, Any]) -> bytes:
        self._under_way.discard(number)
        return _line({"id": number, "answer": answer})

    def refuse(self, number: int, error: BaseException) -> bytes:
        self._under_way.discard(number)
        return _line({"id": number, "error": faults.encode_error(error)})

    def working(self, number: int) -> bytes:
        return _line({"id": number, "working": True})

    def tell(self, event: str, about: dict[str, Any]) -> bytes:
        return _line({"event": event, **about})


# ---- the client's end


@dataclass(frozen=True, slots=True)
class Welcome:
    version: int
    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    id: int
    answer: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """``id`` None: the daemon could not even tell which request it was."""

    id: int | None
    error: LeaseError


@dataclass(frozen=True, slots=True)
class Working:
    id: int


@dataclass(frozen=True, slots=True)
class Told:
    event: str
    about: dict[str, Any]


FromDaemon: TypeAlias = Welcome | Answered | Refused | Working | Told


@dataclass(slots=True)
class ClientSide:
    """A client's end of one connection. Errors of ``receive``: ``ProtocolError``."""

    _lines: _Lines = field(default_factory=lambda: _Lines(MOST_ANSWER_BYTES))
    _number: int = 0

    def hello(self, name: str, *, events: bool) -> bytes:
        return _line({"hello": {"versions": list(VERSIONS), "name": name, "events": events}})

    def ask(self, do: str, fields: dict[str, Any]) -> tuple[int, bytes]:
        """The id of the request, and what to send. Errors: ``ProtocolError`` if it is too long."""
        self._number += 1
        data = _line({"id": self._number, "do": do, **fields})
        if len(data) > MOST_BYTES:
            raise ProtocolError(
                f"a request of {len(data)} bytes, and the daemon reads {MOST_BYTES}",
                advice="Ask for fewer paths at once",
            )
        return self._number, data

    def receive(self, data: bytes) -> list[FromDaemon]:
        lines, too_long = self._lines.cut(data)
        if too_long:
            raise _not_understood("a message that is too long")
        return [_from_daemon(line) for line in lines]


def _not_understood(what: str) -> ProtocolError:
    return ProtocolError(
        f"the daemon said what this version can't understand: {what}"[:300],
        advice="Use a daemon of the same version: volumelease --version",
    )


def _from_daemon(line: bytes) -> FromDaemon:
    try:
        message = decode_object(line.decode("ascii"))
        if "event" in message:
            return Told(take(message, "event", str), message)
        if "hello" in message:
            about = take(message, "hello", dict)
            return Welcome(take(about, "version", int), about)
        number = message.get("id")
        if "error" in message:
            error = faults.decode_error(take(message, "error", dict))
            return Refused(number if type(number) is int else None, error)
        number = take(message, "id", int)
        if "working" in message:
            return Working(number)
        return Answered(number, take(message, "answer", dict))
    except (Malformed, UnicodeDecodeError, RecursionError) as error:
        raise _not_understood(f"{line[:100]!r} ({error})") from None
