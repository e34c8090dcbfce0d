"""Garbage among good entries leaves the table as it were without: the rule of garbage.

An input is a log, an entry a line; the first letter says what lies at that place:

``e`` a record, sealed as a writer does · ``f`` the same, kept in a file · ``w`` a record whose
author had read another history · ``r`` anything at all · ``x`` no symlink

A real ``Replica`` reads it. What must come of it is told by the naive model of the table's own
tests, which is given the good records alone, at their places.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Iterator
from typing import Any

from tests.core.reference import Reference
from tests.fuzz.target import Decoder, Target, text_of, written
from volumelease.authorities.volume.layout import FIRST_SEGMENT, SETTLED, Layout
from volumelease.authorities.volume.replica import Replica
from volumelease.clock import Reading
from volumelease.core import records
from volumelease.core.conflicts import overlaps
from volumelease.core.invariants import breaches
from volumelease.core.records import CLOSING_ENTRIES, Entry
from volumelease.core.table import Table
from volumelease.drivers.threads import Monitor
from volumelease.effects import Effect, ListDirectory, OpenDirectory, ReadFile, ReadLink, Sleep
from volumelease.model import Claim
from volumelease.wire import entries, marks, snapshots

from .log import FACTS

LAYOUT = Layout.first("/v", "ab")
MOST_PLACES = CLOSING_ENTRIES - 2
KINDS = "efwrx"


class Clock:
    def __init__(self) -> None:
        self._ticks = itertools.count(100_000)

    def monotonic(self) -> float:
        return next(self._ticks) / 1_000_000

    boottime = wall = monotonic

    def read(self) -> Reading:
        return Reading(self.monotonic(), self.monotonic(), self.monotonic())


class Nobody:
    def entry_applied(self, *facts: Any) -> None: ...

    def table_loaded(self) -> None: ...


class Log:
    """One segment, in memory. ``good`` is what a reader must make of it."""

    def __init__(self, lines: list[bytes], grace: bool) -> None:
        self.places: dict[str, str | None] = {}
        self.files: dict[str, bytes] = {}
        self.good: dict[int, Entry] = {}
        written_ = snapshots.encode_snapshot(Table(grace=grace), 0)
        self.places |= {f"s{number}": text for number, text in enumerate(written_)}
        mark = marks.begin(FIRST_SEGMENT, snapshots.Header(written_[0]).digest)
        for index, line in enumerate(lines[:MOST_PLACES]):
            target = self._place(index, line, mark)
            self.places[str(index)] = target
            mark = marks.follow(mark, target or "")

    def _place(self, index: int, line: bytes, mark: int) -> str | None:
        kind, text = line[:1], text_of(line[1:])
        plain = text.isascii() and "\0" not in text
        if kind == b"e" and plain and text == text.rstrip(" "):
            target = marks.seal(mark, text)
            if len(target) <= entries.INLINE_BYTES:
                self._expect(index, text)
            return target
        if kind == b"f" and plain:
            reference = entries.reference_to(text)
            self.files[reference[1:]] = text.encode()
            self._expect(index, text)
            return marks.seal(mark, reference)
        if kind == b"w" and plain:
            return marks.seal(mark ^ 1, text)
        # What a raw text could hit by chance is taken from it: the right mark.
        return (text if text[: marks.MARK_LETTERS] != f"{mark:08x}" else "?") or None

    def _expect(self, index: int, text: str) -> None:
        entry = entries.decode_entry(text)
        if entry is not None and not isinstance(entry.body, records.Next):
            self.good[index] = entry

    def perform(self, effect: Effect) -> Any:
        match effect:
            case ListDirectory():
                return [FIRST_SEGMENT]
            case OpenDirectory(path):
                return path
            case ReadLink(name, None) if name.endswith(SETTLED):
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            case ReadLink(name):
                if name not in self.places:
                    raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
                target = self.places[name]
                if target is None:
                    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
                return target
            case ReadFile(path):
                return self.files[path.rpartition("/")[2]]
            case Sleep():
                return None
            case other:
                raise AssertionError(f"{other} is not asked of a log that is read")


def _log(data: bytes) -> None:
    lines = data.split(b"\n")
    grace = lines[0] == b"grace"
    log = Log(lines[1:], grace)
    replica = Replica(LAYOUT, Clock(), Nobody())
    Monitor(log).run(replica.catch_up())
    assert replica.next_index == min(len(lines) - 1, MOST_PLACES)
    model = Reference(grace)
    for index, entry in log.good.items():
        model.apply(index, entry)
    table = replica.table
    seen = {
        token: (held.session, held.exclusive, held.granted, held.breaking)
        for token, held in table.holdings.items()
    }
    wanted = {one.token: (one.session, *one.state()) for one in model.queue}
    assert seen == wanted, "the table has other leases than without the garbage"
    assert set(table.sessions) == set(model.sessions)
    assert sorted(table.pending) == sorted(one[0] for one in model.pending)
    assert not breaches(table, replica.next_index)
    _no_two(table)


def _no_two(table: Table) -> None:
    granted = [held for held in table.holdings.values() if held.granted]
    for one, other in itertools.combinations(granted, 2):
        if one.exclusive or other.exclusive:
            assert not any(overlaps(a, b) for a in one.keys for b in other.keys), "granted twice"


def drawn(seed: int) -> bytes:
    """A log of some workers that compete, with garbage in it."""
    chance = random.Random(seed)
    lines, numbers = ["grace" if chance.random() < 0.3 else ""], itertools.count()
    sessions = [f"{n:016x}" for n in range(3)]
    tokens = [0]
    for index in range(chance.randrange(5, 40)):
        kind = chance.choice("eeeeeeffwrx")
        body = _body(chance, sessions, tokens, index)
        entry = Entry(chance.choice(sessions), next(numbers), 1.5, body)
        if kind in "ef" and isinstance(body, records.Request):
            tokens.append(index)
        lines.append(kind + (entries.encode_entry(entry) if kind != "x" else ""))
    return written("\n".join(lines))


def _body(
    chance: random.Random, sessions: list[str], tokens: list[int], index: int
) -> records.Body:
    path = chance.choice(("a", "a/b", "a/b/c", "b", ""))
    token = chance.choice(tokens)
    if index < 3:
        return records.Open(FACTS)
    bodies: tuple[records.Body, ...] = (
        *[records.Request((Claim(path, path),), chance.random() < 0.7, "o")] * 4,
        records.Release(token),
        records.Cancel(token),
        records.Downgrade(token),
        records.Expire(chance.choice(sessions)),
        records.Publish(token, "stage/x", Claim("a", "a")),
        records.Breaking(token, "why"),
        records.Broken(token),
        records.Ready(),
        records.Open(FACTS),
        records.Moved("redis"),
    )
    return chance.choice(bodies)


def decoders() -> Iterator[Decoder]:
    yield Decoder("log", _log, tuple(drawn(seed) for seed in range(40)))


TARGET = Target("table", decoders)
