"""What ``hold``, its warden and its keeper say to each other, over pipes."""

from __future__ import annotations

import os
import select
import struct
import threading
from dataclasses import dataclass
from typing import Final

# To the warden.
GRACE: Final = b"g"
"""``at`` seconds may pass between SIGTERM and SIGKILL. From the keeper, handed on."""
RUN: Final = b"r"
"""Start the command under token ``number``, for the paths in ``text``, until ``at`` (boottime)."""
DEADLINE: Final = b"d"
"""The lease may be assumed until ``at`` (boottime). From the keeper, handed on."""
DRAFT: Final = b"w"
"""``{}`` in the command, and VOLUMELEASE_DRAFT, are the path in ``text``. Before RUN; from the
keeper, handed on."""
SANDBOX: Final = b"b"
"""Keep the command to the plan in ``text``. Before RUN; from the keeper, handed on."""
FORWARD: Final = b"f"
"""Send signal ``number`` to the command."""
END: Final = b"e"
"""The lease is lost: end the command and all its descendants."""

# From the warden.
FAILED: Final = b"x"
"""The command could not be executed: errno ``number``; of its sandbox, if it is negative."""
ENDED: Final = b"c"
"""The command ended with wait status ``number``."""
LEFT: Final = b"l"
"""The command ended and left ``number`` processes running, named in ``text``; they are ended."""
GONE: Final = b"n"
"""Neither the command nor any descendant is left, since ``at``. ``number`` 1: the warden ended
them because it was told so, or because the deadline passed; 2: the deadline had passed before
the command could start, so nothing of it ran."""

# To the keeper.
PING: Final = b"p"
"""``hold`` runs, and has not been stopped."""
RELEASE: Final = b"o"
"""Give the lease back, or stop waiting for it. ``number`` 1: leave the draft to the next one."""
PUBLISH: Final = b"u"
"""The command made the draft, and nothing of it runs any more: publish it."""

# From the keeper.
GRANTED: Final = b"a"
"""The lease is held under token ``number``, on the paths in ``text``, until ``at`` (boottime)."""
REFUSED: Final = b"q"
"""It could not be had, or the keeper failed: ``text`` is the error, packed."""
LOST: Final = b"v"
"""It is lost, noticed ``at`` (boottime), for the reason in ``text``."""
PRESENT: Final = b"h"
"""The path is published already: there is nothing to be done."""
PUBLISHED: Final = b"i"
"""What the command made is visible."""
PROGRESS: Final = b"s"
"""How the wait goes on: ``text``. The newest line is the one that counts."""
RELEASED: Final = b"z"
"""It was given back."""
NOTE: Final = b"t"
"""Something to tell a person: ``text``."""

WHILE_PUBLISHING: Final = "while it was published"
"""The reason of a loss after which it is unknown whether the draft became visible."""

_HEADER: Final = struct.Struct("<cqdI")


@dataclass(frozen=True, slots=True)
class Message:
    kind: bytes
    number: int = 0
    at: float = 0.0
    text: str = ""


def write(descriptor: int, message: Message) -> bool:
    """Returns whether the message went on its way: not when nobody reads any more, and not when
    the reader was stopped for so long that the pipe is full."""
    text = os.fsencode(message.text)
    try:
        if not select.select([], [descriptor], [], 0)[1]:
            return False
        data = _HEADER.pack(message.kind, message.number, message.at, len(text)) + text
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return False
    return True


def read(descriptor: int) -> Message | None:
    """The next message; blocks. None when the other side is gone."""
    header = _read_exactly(descriptor, _HEADER.size)
    if header is None:
        return None
    kind, number, at, length = _HEADER.unpack(header)
    text = _read_exactly(descriptor, length)
    return None if text is None else Message(kind, number, at, os.fsdecode(text))


def _read_exactly(descriptor: int, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            return None
        data += more
    return data


class Sender:
    """One end of a pipe that several threads write to."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, message: Message) -> bool:
        with self._lock:
            return self._descriptor >= 0 and write(self._descriptor, message)

    def close(self) -> None:
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1
