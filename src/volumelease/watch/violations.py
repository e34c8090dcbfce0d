"""A write that no lease covers, and the record of it on the volume.

A record is a symlink in ``audit/``, whose name is made from what the write left behind. So two
hosts that find the same write leave one record, and a full volume takes it all the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from volumelease.authorities.volume.layout import Layout
from volumelease.wire.fields import Malformed, decode_object, nameable, take, take_number

Origin = Literal["local", "remote", "unknown"]
_ORIGINS: Final[tuple[Origin, ...]] = ("local", "remote", "unknown")

PREFIX: Final = "violation-"
MOST_RECORDS: Final = 10_000
KEPT_SECONDS: Final = 30 * 86_400.0
DAY_SECONDS: Final = 86_400.0
_MOST_PATH: Final = 600
_MOST_RECORD: Final = 990
"""A record has to fit into a symlink of 999 bytes on every mount."""

_SHORTENED: Final = ("path", "what", "host", "scope", "after")


@dataclass(frozen=True, slots=True)
class Violation:
    """``path`` is relative to the volume. ``what``: created, changed, deleted, moved, in words.
    ``seen_at``: the wall clock of ``host``, which found it; ``after``: what the write left (inode,
    size, modification and change time), "" where nothing is left."""

    path: str
    what: str
    origin: Origin
    scope: str
    seen_at: float
    host: str
    after: str

    @property
    def name(self) -> str:
        """Of its record: the same on whichever host the same write is found."""
        # What is gone looks alike each time: then the minute tells.
        state = self.after or f"gone {int(self.seen_at // 60)}"
        digest = hashlib.sha256(f"{self.path}\0{state}".encode("utf-8", "surrogateescape"))
        return PREFIX + digest.hexdigest()[:24]

    def as_document(self) -> dict[str, Any]:
        return {"schema": 1, "kind": "violation", **asdict(self)}

    def encode(self) -> str:
        said = asdict(self)
        said["path"] = self.path[-_MOST_PATH:]
        text = json.dumps(said, separators=(",", ":"))
        while len(text) > _MOST_RECORD:  # escapes made it longer
            longest = max(_SHORTENED, key=lambda name: len(said[name]))
            said[longest] = said[longest][len(said[longest]) // 2 + 1 :]
            text = json.dumps(said, separators=(",", ":"))
        return text


def decode(text: str) -> Violation:
    """Errors: ``Malformed``."""
    said = decode_object(text)
    origin, path, after = (take(said, name, str) for name in ("origin", "path", "after"))
    if not nameable(path) or (after and not nameable(after)):
        raise Malformed("path")
    return Violation(
        path=path,
        what=take(said, "what", str),
        origin=origin if origin in _ORIGINS else "unknown",
        scope=take(said, "scope", str),
        seen_at=take_number(said, "seen_at"),
        host=take(said, "host", str),
        after=after,
    )


def record(layout: Layout, violation: Violation) -> bool:
    """Leave a record. Returns False if there is one of this write already. Errors: ``OSError``."""
    try:
        os.symlink(violation.encode(), layout.audit(violation.name))
    except FileExistsError:
        # A mount that resends a request can say so of one's own: then it counts twice, not never.
        with suppress(OSError):
            return os.readlink(layout.audit(violation.name)) == violation.encode()
        return False
    return True


class Records:
    """The records of one volume. A record never changes, so each is read once: what is asked for
    again and again costs a listing."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._read: dict[str, Violation] = {}

    def all(self) -> list[Violation]:
        """Oldest first; what can't be read is left out. Errors: ``OSError`` where the directory
        can't be listed."""
        try:
            names = os.listdir(self._layout.folder("audit"))
        except FileNotFoundError:
            return []
        wanted = {name for name in names if name.startswith(PREFIX)}
        self._read = {name: one for name, one in self._read.items() if name in wanted}
        for name in wanted - self._read.keys():
            with suppress(OSError, Malformed):
                self._read[name] = decode(os.readlink(self._layout.audit(name)))
        return sorted(self._read.values(), key=lambda one: one.seen_at)


def recorded(layout: Layout) -> list[Violation]:
    """All that are on record; see ``Records.all``."""
    return Records(layout).all()


def within_a_day(violations: list[Violation], now_wall: float) -> int:
    return sum(now_wall - one.seen_at < DAY_SECONDS for one in violations)


def forget_old(layout: Layout, now_wall: float) -> None:
    """Delete the records of more than thirty days ago, and the oldest of too many."""
    with suppress(OSError):
        all_ = recorded(layout)
        doomed = all_[: max(0, len(all_) - MOST_RECORDS)]
        doomed += [one for one in all_ if now_wall - one.seen_at > KEPT_SECONDS]
        for one in doomed:
            with suppress(OSError):
                os.unlink(layout.audit(one.name))
