"""What was leased lately, where a Redis keeps the leases: for who judges writes after the fact.

A Redis forgets what is over. While somebody asks, it keeps the ends of exclusive leases for the
next time (``scripts/past.lua``); who releases pays one look for it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from volumelease.effects import CallScript, Steps
from volumelease.wire.tellings import decode_session

from .calling import state_key, text
from .tokens import token_of

_HEAD: Final = ("0", "", "", "0")


class Lent(NamedTuple):
    """``keys`` are, or were, leased exclusively to a process of the boot ``boot_id``, "" where that
    is no longer known."""

    token: int
    keys: tuple[str, ...]
    boot_id: str


class Past(NamedTuple):
    """One look. ``doubt``: why the table tells less than there is (a grace, another authority), or
    "". ``whole``: every lease that ended since the last look is in ``ended``; some of those were
    told before."""

    incarnation: int
    sequence: int
    doubt: str
    whole: bool
    ended: tuple[Lent, ...]
    held: tuple[Lent, ...]


class Looking:
    """Looks again and again at one volume. Takes no part in leases."""

    def __init__(self, identity_id: str) -> None:
        self._key = state_key(identity_id)
        self._incarnation = 0
        self._sequence = 0
        self._boots: dict[str, str] = {}
        """Of the sessions that held something at the last look: one that ended is told no more."""

    def look(self) -> Steps[Past]:
        """Errors: those of ``CallScript``; what was to be told then is told the next time."""
        known = (f"{self._incarnation}", f"{self._sequence}")
        reply = yield CallScript("past", self._key, (*_HEAD, *known))
        _, incarnation, doubt, sequence, whole, ended, held, holders = reply
        boots = {text(name): _boot_of(text(facts)) for name, facts in holders}
        known_boots = {**self._boots, **boots}
        past = Past(
            incarnation=int(incarnation),
            sequence=int(sequence),
            doubt=text(doubt),
            whole=whole == 1,
            ended=tuple(_lent(text(one).split("\0"), known_boots) for one in ended if one),
            held=tuple(_lent(_parts(one), known_boots) for one in held),
        )
        self._incarnation, self._sequence, self._boots = past.incarnation, past.sequence, boots
        return past


def _parts(told: list[Any]) -> list[str]:
    token, session, keys = map(text, told)
    return [token, session, *keys.split("\0")]


def _lent(parts: list[str], boots: dict[str, str]) -> Lent:
    token, session, *keys = parts
    return Lent(token_of(token), tuple(keys), boots.get(session, ""))


def _boot_of(facts: str) -> str:
    return decode_session(facts).process.boot_id
