"""The hand-off manifest: what a holder left, compared by the next one before it begins.

The one detection that needs no process that runs all the time: the release of a lease leaves a
digest of what the leased tree looks like, as a symlink, and the next grant of the same path
compares. What differs was written while nobody had a lease, on whichever host.

* Compared is only what can be compared: if another lease overlapped in between, or the log no
  longer tells, nothing is said.
* Times are compared where they are old enough: a mount may set the time of a file after its last
  write was answered, and shows old attributes for a second. So what differs is looked at again.

Limit: it says that something changed below a path, not what, nor who did it; trees of more than a
few thousand entries are left out, and a rewrite of the same size within seconds of the release.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from volumelease.authorities.volume.layout import CONTROL, Layout, number_of
from volumelease.core import records
from volumelease.core.conflicts import overlaps
from volumelease.core.records import SEGMENT_ENTRIES
from volumelease.model import Claim
from volumelease.tallies import Tally, keys_of, scope_of
from volumelease.wire import entries, marks
from volumelease.wire.fields import Malformed, decode_object, take, take_index

from .violations import Violation, record

MOST_ENTRIES: Final = 5000
MOST_SECONDS: Final = 0.5
MOST_LOG: Final = 512
"""Entries of the log that are read to see whether another lease came in between."""

UNSETTLED_SECONDS: Final = 3
LOOK_AGAIN_SECONDS: Final = 1.2

logger = logging.getLogger("volumelease.violations")


class Manifest(NamedTuple):
    """What lay below a path when the lease ``token`` ended, at about ``at`` (the volume's own
    clock, seconds)."""

    token: int
    at: int
    digest: str


class Handoff:
    """Leaves and compares manifests of what is leased below ``roots``. Costs a look at every file
    there, at both ends of a lease: so it is asked for (``VOLUMELEASE_HANDOFF``)."""

    def __init__(
        self, roots: tuple[str, ...], host: str, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._roots = keys_of(roots)
        self._host = host
        self._sleep = sleep

    def leave(self, layout: Layout, claims: tuple[Claim, ...], token: int) -> None:
        """Before a release: say what is there. Errors: none; then nothing is compared."""
        for claim in self._protected(claims):
            place = _place(layout, claim)
            with suppress(OSError):
                at = _volume_time(place)
                digest = _digest(layout, claim, at)
                if digest is None:
                    continue
                said = json.dumps(Manifest(token, at, digest)._asdict())
                with suppress(FileNotFoundError):
                    os.unlink(place + ".new")
                os.symlink(said, place + ".new")
                os.rename(place + ".new", place)

    def enter(
        self, layout: Layout, claims: tuple[Claim, ...], token: int, tally: Tally
    ) -> list[Violation]:
        """After a grant: compare with what the last holder left. Returns what nobody may have
        written. Errors: none."""
        found = []
        for claim in self._protected(claims):
            with suppress(OSError):
                left = _read(_place(layout, claim))
                if left is not None and self._differs(layout, claim, left, token):
                    found.append(self._violation(layout, claim, left, token))
        for violation in found:
            with suppress(OSError):
                record(layout, violation)
            logger.warning("%s", json.dumps(violation.as_document()))
            tally.count("violations_total", violation.scope, violation.origin)
        return found

    def _protected(self, claims: tuple[Claim, ...]) -> Iterator[Claim]:
        for claim in claims:
            for root in self._roots.values():
                if not root or claim.key == root or claim.key.startswith(root + "/"):
                    yield claim
                    break

    def _differs(self, layout: Layout, claim: Claim, left: Manifest, token: int) -> bool:
        if _digest(layout, claim, left.at) in (left.digest, None):
            return False
        if not _nobody_between(layout, claim.key, left.token, token):
            return False
        self._sleep(LOOK_AGAIN_SECONDS)  # what this mount shows may be older than the release
        return _digest(layout, claim, left.at) not in (left.digest, None)

    def _violation(self, layout: Layout, claim: Claim, left: Manifest, token: int) -> Violation:
        return Violation(
            path=claim.path,
            what=f"changed between the leases {left.token} and {token}",
            origin="unknown",
            scope=scope_of(self._roots, claim.key),
            seen_at=round(time.time(), 3),
            host=self._host,
            after=f"{left.token} {_digest(layout, claim, left.at)}",
        )


def _place(layout: Layout, claim: Claim) -> str:
    key = claim.key.encode("utf-8", "surrogateescape")
    return layout.audit(f"handoff-{hashlib.sha256(key).hexdigest()[:24]}")


def _read(place: str) -> Manifest | None:
    try:
        said = decode_object(os.readlink(place))
        return Manifest(take_index(said, "token"), take(said, "at", int), take(said, "digest", str))
    except (FileNotFoundError, Malformed):
        return None


def _volume_time(place: str) -> int:
    """What time the volume gives to what is made now: nobody compares clocks of two hosts."""
    probe = f"{place}.at"
    with suppress(FileExistsError):
        os.symlink("at", probe)
    try:
        return int(os.lstat(probe).st_mtime)
    finally:
        with suppress(OSError):
            os.unlink(probe)


def _digest(layout: Layout, claim: Claim, at: int) -> str | None:
    """Of names, inodes, sizes, and of times that have settled; None where there is too much."""
    until = time.monotonic() + MOST_SECONDS
    digest = hashlib.sha256()
    top = layout.public(claim.path)
    try:
        seen = os.lstat(top)
    except FileNotFoundError:
        return "nothing"
    digest.update(_told("", seen, at))
    count = 0
    todo = [(top, "")] if os.path.isdir(top) and not os.path.islink(top) else []
    while todo:
        folder, below = todo.pop()
        with os.scandir(folder) as listing:
            found = sorted(listing, key=lambda entry: entry.name)
        for entry in found:
            if not below and entry.name.startswith(CONTROL):
                continue
            count += 1
            if count > MOST_ENTRIES or time.monotonic() > until:
                return None
            name = f"{below}/{entry.name}"
            digest.update(_told(name, entry.stat(follow_symlinks=False), at))
            if entry.is_dir(follow_symlinks=False):
                todo.append((entry.path, name))
    return digest.hexdigest()[:32]


def _told(name: str, seen: os.stat_result, at: int) -> bytes:
    said = [name, seen.st_ino, seen.st_mode & 0o170000]
    if seen.st_mode & 0o170000 != 0o040000:  # of a directory, its entries tell
        said.append(seen.st_size)
        said += [
            when if abs(when - at) > UNSETTLED_SECONDS else "about then"
            for when in (int(seen.st_mtime), int(seen.st_ctime))
        ]
    return f"{said!r}\n".encode("utf-8", "surrogateescape")


def _nobody_between(layout: Layout, key: str, first: int, last: int) -> bool:
    """Whether the log tells, for sure, that no exclusive lease overlapped between two of them."""
    if not 0 <= last - first <= MOST_LOG:
        return False
    folders: dict[int, str | None] = {}
    try:
        for place in ("log", "retired"):
            for name in os.listdir(layout.folder(place)):
                number = number_of(name)
                if number >= 0:
                    twice = number in folders
                    folders[number] = None if twice else f"{layout.folder(place)}/{name}"
        for index in range(first + 1, last):
            folder = folders.get(index // SEGMENT_ENTRIES)
            if folder is None or _may_overlap(layout, folder, index % SEGMENT_ENTRIES, key):
                return False
    except OSError:
        return False
    return True


def _may_overlap(layout: Layout, folder: str, place: int, key: str) -> bool:
    try:
        target = os.readlink(f"{folder}/{place}")
    except FileNotFoundError:
        return False  # behind the end of a segment
    except OSError as error:
        return error.errno != errno.EINVAL  # what is no symlink is garbage
    text = target[marks.MARK_LETTERS :].rstrip(" ")
    file = entries.referenced_file(text)
    if file is not None:
        with open(layout.record(file), encoding="utf-8", errors="replace") as record_:
            text = record_.read()
    entry = entries.decode_entry(text)
    if entry is None or not isinstance(entry.body, records.Request) or not entry.body.exclusive:
        return False
    return any(overlaps(claim.key, key) for claim in entry.body.claims)
