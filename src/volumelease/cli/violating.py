"""``status --violations``: the writes without a lease that were detected, wherever they were."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from .speech import moment, one_line, say

if TYPE_CHECKING:
    from volumelease.watch.violations import Records, Violation

    from .places import Place
    from .reading import Picture

LIMIT: Final = (
    "only below the configured roots (VOLUMELEASE_ROOTS), only while a daemon or an exporter was "
    "looking; records are kept for thirty days"
)


def records_of(place: Place, picture: Picture) -> Records:
    from volumelease.authorities.volume.layout import Layout
    from volumelease.watch.violations import Records

    return Records(Layout.of(place.root, picture.identity))


def on_record(place: Place, picture: Picture, records: Records | None = None) -> list[Violation]:
    """Those that concern the place, oldest first. Errors: ``AuthorityUnreachable``."""
    from .reading import patiently

    found = patiently((records or records_of(place, picture)).all, place.root)
    return [one for one in found if place.concerns((one.path,))]


def last_day(violations: list[Violation]) -> int:
    """How many of them are of the last 24 hours."""
    from volumelease.watch.violations import within_a_day

    return within_a_day(violations, time.time())


def document(place: Place, violations: list[Violation]) -> list[dict[str, Any]]:
    return [
        {
            "path": place.absolute((one.path,))[0],
            "what": one.what,
            "origin": one.origin,
            "scope": one.scope,
            "seen_at": one.seen_at,
            "seen_by": one.host,
        }
        for one in violations
    ]


def show(place: Place, picture: Picture, *, as_json: bool) -> int:
    found = on_record(place, picture)
    if as_json:
        said = {
            "schema": 1,
            "volume": place.as_document(picture.identity.id),
            "violations": document(place, found),
            "limit": LIMIT,
        }
        say(json.dumps(said))
        return 0
    for one in found:
        say(line(one))
    if not found:
        say("no write without a lease is on record")
    say(f"limit: {LIMIT}")
    return 0


def line(one: Violation) -> str:
    return (
        f"{moment(one.seen_at)} {one.origin} {one.what} {one_line(one.path)} seen by "
        f"{one_line(one.host)}"
    )
