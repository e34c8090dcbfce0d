"""What a daemon leaves to its successor: who it was, and which sessions it had.

Written before a client hears of a session. The successor may go on with one only after proof that
the writer is gone as a whole process: the end of its lock or of its socket proves nothing, for a
process that is stopped, or ending, can still have a beat under way that would hide a newer one.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from volumelease.host import ProcessFacts, provably_dead
from volumelease.wire import slots
from volumelease.wire.entries import decode_facts, encode_facts
from volumelease.wire.fields import Malformed, decode_object, encode, take, take_index, take_objects

from .doorway import fresh_file


class Left(NamedTuple):
    """A session: of which volume, at which directory, and where its deadline stands."""

    root: str
    volume: str
    session: str
    slot: int


class Bequest(NamedTuple):
    process: ProcessFacts
    sessions: tuple[Left, ...]


def write(path: str, bequest: Bequest) -> None:
    """In one step. Errors: ``OSError``."""
    from volumelease.core.records import SessionFacts

    sessions = [one._asdict() for one in bequest.sessions]
    text = encode({"process": encode_facts(SessionFacts(bequest.process)), "sessions": sessions})
    fresh = f"{path}.new"
    with open(fresh, "w", encoding="ascii", opener=fresh_file) as file:
        file.write(text)
    os.replace(fresh, path)


def read(path: str) -> Bequest | None:
    """None where nothing, or nothing that makes sense, was left."""
    try:
        with open(path, encoding="ascii") as file:
            source = decode_object(file.read())
        sessions = tuple(
            Left(
                take(one, "root", str),
                take(one, "volume", str),
                take(one, "session", str),
                _slot(one),
            )
            for one in take_objects(source, "sessions")
        )
        return Bequest(decode_facts(take(source, "process", dict)).process, sessions)
    except (OSError, UnicodeDecodeError, Malformed):
        return None


def _slot(source: dict[str, Any]) -> int:
    slot = take_index(source, "slot")
    if slot >= slots.SLOTS:
        raise Malformed(f"slot: up to {slots.SLOTS - 1}")
    return slot


def heirless(path: str, here: ProcessFacts) -> Bequest | None:
    """What a predecessor left that is provably gone, with everything it had under way. None
    where there is none, or where that can't be proven."""
    found = read(path)
    return found if found is not None and provably_dead(found.process, here) else None
