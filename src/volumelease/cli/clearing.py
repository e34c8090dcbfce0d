"""``volumelease gc``: clear away what no reader and no writer needs any more."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from .parameters import PathText
from .space import size
from .speech import note, one_line, plural, say

if TYPE_CHECKING:
    from volumelease.authorities.volume.surveying import Item, Surveyor
    from volumelease.effects import Contents

    from .places import Place
    from .reading import Picture, Reader

_ROUND_SECONDS: Final = 4.0
_MEASURE_SECONDS: Final = 5.0
_FRUITLESS_ROUNDS: Final = 3
DANGER: Final = (
    "DANGEROUS: what no link that volumelease knows of leads to is deleted; a link that somebody "
    "moved by hand leads nowhere then"
)
_WORDS: Final = {
    "public": "public",
    "written": "being written, or published",
    "resumable": "left by a builder that died, kept for a day for the next one",
    "kept": "written elsewhere and moved in, but never public: move it back, or delete it",
    "read": "replaced; readers have a minute from when this machine noticed it",
    "adopted": "of an adoption that was interrupted",
    "orphan": "without any link that is known",
    "due": "to be cleared away",
}


@click.command("gc", short_help="Clear away dead drafts and replaced versions.")
@click.argument("directory", required=False, metavar="[DIR]", type=PathText())
@click.option("--dry-run", is_flag=True, help="Only say what would be cleared away.")
@click.option("--orphans", is_flag=True, help="Also delete versions without a link. DANGEROUS.")
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
def command(directory: str | None, dry_run: bool, orphans: bool, as_json: bool) -> int:
    """Clear away drafts of dead writers, and replaced versions past their time, at once.

    Sessions do that by themselves, a little at a time. A draft that --resume left is kept for a
    day, a replaced version for a minute from when a machine first noticed it: run it again then.

    Versions that no link leads to and that nobody replaced are listed and kept: their link may
    have been moved by hand. --orphans deletes them. DANGEROUS: look at each of them before.

    Limit: sizes are measured for a few seconds; what takes longer is said to be "at least".
    """
    from .places import place_of
    from .reading import Reader, patiently

    place = patiently(lambda: place_of(directory), directory or "the volume")
    reader = Reader(place.root)
    picture = reader.look()
    surveyor = _surveyor(reader)
    before: list[Item] = reader.run(surveyor.survey())
    found = _measured(before, place)
    if orphans and not dry_run:
        note(DANGER)
        for item in before:
            if item.state == "orphan":
                reader.run(surveyor.doom(item))
    if not dry_run:
        _clear(reader, surveyor)
        _compare(found, reader.run(surveyor.survey()))
    if as_json:
        say(json.dumps(_document(place, picture, found, dry_run)))
    else:
        for line in _lines(place, found, dry_run):
            say(line)
    return 0


@dataclass(slots=True)
class _Found:
    item: Item
    contents: Contents
    removed: bool = False


def _surveyor(reader: Reader) -> Surveyor:
    from volumelease.authorities.volume.surveying import Surveyor
    from volumelease.clock import SystemClock
    from volumelease.host import this_process

    boot = this_process().boot_id or f"gc-{time.time_ns()}"
    return Surveyor("", reader.replica, SystemClock(), boot)


def _measured(items: list[Item], place: Place) -> list[_Found]:
    from .reading import patiently

    until = time.monotonic() + _MEASURE_SECONDS
    return patiently(lambda: [_Found(item, _measure(item, until)) for item in items], place.root)


def _measure(item: Item, until: float) -> Contents:
    from volumelease.drivers.trees import measure
    from volumelease.effects import Contents

    left = until - time.monotonic()
    try:
        return measure(item.path, left) if left > 0 else Contents(0, 0, complete=False)
    except OSError:
        return Contents(0, 0, complete=False)


def _clear(reader: Reader, surveyor: Surveyor) -> None:
    """Until nothing is due, or nothing can be removed."""
    fruitless, before = 0, -1
    while fruitless < _FRUITLESS_ROUNDS:
        started = time.monotonic()
        reader.run(surveyor.collect(_ROUND_SECONDS))
        due = sum(item.state == "due" for item in reader.run(surveyor.survey()))
        if not due:
            return
        busy = time.monotonic() - started >= _ROUND_SECONDS
        fruitless = 0 if busy or due != before else fruitless + 1
        before = due
    note(f"{plural(before, 'thing')} could not be removed; see who may write there")


def _compare(found: list[_Found], left: list[Item]) -> None:
    """What became of those that were found."""
    there = {(item.kind, item.unique) for item in left}
    kept = {item.unique: item for item in left if item.state == "kept"}
    for one in found:
        was = one.item
        if was.state != "kept":
            one.removed = (was.kind, was.unique) not in there
        elif was.unique in kept:
            now = kept[was.unique]
            one.item = now._replace(place=now.place or was.place)


# ---- what is said


def _lines(place: Place, found: list[_Found], dry_run: bool) -> list[str]:
    lines = []
    for one in found:
        if one.item.state == "public":
            continue
        does = "removed" if one.removed else "would go" if _goes(one, dry_run) else "kept"
        lines.append(
            f"{does} {one.item.kind} {one_line(_place(place, one.item))}, {_size(one.contents)}: "
            f"{_WORDS[one.item.state]}"
            + (f" ({one_line(one.item.path)})" if not one.removed else "")
        )
    states = Counter(one.item.state for one in found)
    removed = [one for one in found if one.removed]
    freed = sum(one.contents.bytes for one in removed)
    all_of_it = all(one.contents.complete for one in removed)
    lines.append(
        f"{plural(len(removed), 'draft or version', 'drafts and versions')} removed, "
        f"{'' if all_of_it else 'at least '}{size(freed)}; {states['public']} public"
    )
    if states["orphan"] and not all(one.removed for one in found if one.item.state == "orphan"):
        lines.append(
            "versions without a link are kept: look at each, then link, move or delete it "
            "(gc --orphans deletes them all)"
        )
    if states["adopted"]:
        lines.append("finish an interrupted adoption: volumelease adopt, with the path above")
    return lines


def _goes(one: _Found, dry_run: bool) -> bool:
    return dry_run and one.item.state == "due"


def _place(place: Place, item: Item) -> str:
    return f"of {place.absolute((item.place,))[0]}" if item.place else item.unique


def _size(contents: Contents) -> str:
    return f"{'' if contents.complete else 'at least '}{size(contents.bytes)}"


def _document(place: Place, picture: Picture, found: list[_Found], dry_run: bool) -> dict[str, Any]:
    return {
        "schema": 1,
        "volume": place.as_document(picture.identity.id),
        "dry_run": dry_run,
        "items": [
            {
                "kind": one.item.kind,
                "name": one.item.unique,
                "state": one.item.state,
                "place": place.absolute((one.item.place,))[0] if one.item.place else None,
                "path": one.item.path,
                "files": one.contents.files,
                "bytes": one.contents.bytes,
                "complete": one.contents.complete,
                "removed": one.removed,
            }
            for one in found
        ],
    }
