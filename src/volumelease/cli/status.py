"""``volumelease status``: who holds what, since when, and who waits."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from . import space, speech, violating
from .parameters import PathText
from .speech import one_line, say, seconds

if TYPE_CHECKING:
    from volumelease.model import Holder
    from volumelease.watch.violations import Violation

    from .places import Place
    from .reading import Picture, Reader

REFRESH_SECONDS: Final = 1.0
BROKEN: Final = " being broken"
LIMIT: Final = "a lease excludes those who ask for one; a write without a lease is not stopped"
REDIS_LIMIT: Final = (
    f"{LIMIT}; the leases are kept by a Redis, so a publish is checked before it is made visible, "
    "and not sealed"
)


@click.command()
@click.argument("path", required=False, metavar="[PATH]", type=PathText())
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
@click.option("--watch", is_flag=True, help="Again every second, until Ctrl-C.")
@click.option("--violations", is_flag=True, help="Writes without a lease that were detected.")
def command(path: str | None, as_json: bool, watch: bool, violations: bool) -> int:
    """Show who holds leases on a volume and who waits.

    PATH is the volume or something on it (then only what concerns that path is shown); without
    it, the volume of the working directory, else the mounted network volume. Reads the log and
    takes no part in it.
    """
    if watch and (as_json or violations):
        other = "--json" if as_json else "--violations"
        raise click.UsageError(
            f"{other} and --watch exclude each other", click.get_current_context()
        )
    from .places import place_of
    from .reading import Reader, patiently

    place = patiently(lambda: place_of(path), path or "the volume")
    reader = Reader(place.root)
    if watch:
        return _watch(place, reader)
    picture = reader.look()
    if violations:
        from . import violating

        return violating.show(place, picture, as_json=as_json)
    if as_json:
        say(json.dumps(as_document(place, picture)))
    elif speech.on_terminal():
        from .tables import print_status

        print_status(place, picture)
    else:
        for line in lines(place, picture):
            say(line)
    return 0


def _watch(place: Place, reader: Reader) -> int:
    try:
        if speech.on_terminal():
            from .tables import watch_status

            watch_status(place, reader)
        while True:
            for line in lines(place, reader.look()):
                say(line)
            say()
            time.sleep(REFRESH_SECONDS)
    except KeyboardInterrupt:
        return 0


def holders(place: Place, picture: Picture) -> list[Holder]:
    return [holder for holder in picture.holders() if place.concerns(holder.paths)]


def waiters(place: Place, picture: Picture) -> list[tuple[Holder, int]]:
    return [
        (holder, position) for holder, position in picture.waiters() if place.concerns(holder.paths)
    ]


def age(since: float) -> float:
    """Seconds since a wall-clock time of another host: only to be shown, and never negative."""
    return max(0.0, time.time() - since)


# ---- for programs


class Costly(NamedTuple):
    """What costs more than a look at the log."""

    bell: str
    space: dict[str, Any]
    violations: list[Violation]


def look_closer(place: Place, picture: Picture) -> Costly:
    from .bells import bell_in_force
    from .places import settings_of_this_process

    bell = bell_in_force(place.root, picture, settings_of_this_process())
    return Costly(bell, space.document(place, picture), violating.on_record(place, picture))


def as_document(place: Place, picture: Picture, costly: Costly | None = None) -> dict[str, Any]:
    """The form promised to programs: keys are added, never renamed."""
    costly = costly or look_closer(place, picture)
    identity = picture.identity
    return {
        "schema": 1,
        "volume": place.as_document(identity.id),
        "authority": identity.authority,
        "limit": limit(picture),
        "bell": costly.bell,
        "leases": [_lease(place, holder, identity.ttl) for holder in holders(place, picture)],
        "waiting": [
            {
                "paths": place.absolute(holder.paths),
                "mode": mode(holder),
                "session": holder.session,
                "waited_seconds": round(age(holder.since), 3),
                "position": position,
                "endpoint": holder.endpoint,
                "worker": holder.worker,
                "pid": holder.pid,
                "host": holder.host,
                "reason": holder.reason,
            }
            for holder, position in waiters(place, picture)
        ],
        "space": costly.space,
        "enforcement": enforcement_here(),
        "violations_24h": violating.last_day(costly.violations),
    }


def enforcement_here() -> str:
    """What a process that is started here is kept to. What others on the volume are kept to is
    their own affair: a log does not stop a write."""
    from volumelease.enforce.levels import in_force

    from .places import settings_of_this_process

    return in_force(os.environ, settings_of_this_process())


def _lease(place: Place, holder: Holder, ttl: float) -> dict[str, Any]:
    return {
        "paths": place.absolute(holder.paths),
        "mode": mode(holder),
        "token": str(holder.token),
        "session": holder.session,
        "endpoint": holder.endpoint,
        "worker": holder.worker,
        "pid": holder.pid,
        "host": holder.host,
        "held_seconds": round(age(holder.since), 3),
        "ttl_seconds": ttl,
        "reason": holder.reason,
        "breaking": holder.breaking,
    }


def mode(holder: Holder) -> str:
    return "exclusive" if holder.exclusive else "shared"


# ---- for people


def lines(place: Place, picture: Picture) -> list[str]:
    """Plain text for a pipe: one lease a line."""
    found = [headline(place, picture), *troubles(place, picture), *space.lines(place, picture)]
    held, waiting = holders(place, picture), waiters(place, picture)
    for holder in held:
        found.append(
            f"held {mode(holder)} {shown(holder)} for {seconds(age(holder.since))} "
            f"by {who(holder)} token {holder.token}{BROKEN if holder.breaking else ''}"
            f"{_because(holder)}"
        )
    for holder, position in waiting:
        found.append(
            f"waits {mode(holder)} {shown(holder)} for {seconds(age(holder.since))} "
            f"by {who(holder)} position {position}{_because(holder)}"
        )
    if not held:
        found.append(nobody(place))
    bad = violating.last_day(violating.on_record(place, picture))
    if bad:
        found.append(f"{bad} writes without a lease in 24 h: volumelease status --violations")
    return [*found, f"limit: {limit(picture)}"]


def limit(picture: Picture) -> str:
    return REDIS_LIMIT if picture.identity.authority == "redis" else LIMIT


def headline(place: Place, picture: Picture) -> str:
    identity, count = picture.identity, len(picture.table.sessions)
    where = f"log entry {picture.next_index} in segment {picture.segment}"
    if identity.authority == "redis":
        where = f"leases by Redis, incarnation {picture.next_index}"
    return (
        f"volume {one_line(place.root)} ({place.kind}) id {identity.id} ttl {identity.ttl:g} s, "
        f"{count} session{'' if count == 1 else 's'}, {where}, enforcement here: "
        f"{enforcement_here()}"
    )


def troubles(place: Place, picture: Picture) -> list[str]:
    """What keeps the volume from being well, one line each."""
    found = []
    if picture.table.grace and picture.identity.authority == "redis":
        found.append(
            "the Redis is new or forgot what it knew: until its grace was watched for "
            f"{picture.identity.ttl:g} s, holders name what they hold and nothing new is granted"
        )
    elif picture.table.grace:
        found.append(
            f"the log is new: the first lease is granted once somebody watched it for "
            f"{picture.identity.ttl + 1:g} s"
        )
    if picture.garbage:
        found.append(
            f"{picture.garbage} entries of this segment are garbage; they count for nothing"
        )
    space = os.statvfs(place.root)
    if space.f_blocks and not space.f_bavail:
        found.append("the volume is full: leases work, writes of data fail")
    if space.f_files and not space.f_favail:
        found.append("the volume is out of inodes: leases are released, but none can be taken")
    return found


def nobody(place: Place) -> str:
    return f"nobody holds a lease{f' on {one_line(place.key)}' if place.key else ''}"


def shown(holder: Holder) -> str:
    return ", ".join(one_line(path) or "(the whole volume)" for path in holder.paths)


def who(holder: Holder) -> str:
    return speech.who(holder.worker, holder.endpoint, holder.pid, holder.host)


def _because(holder: Holder) -> str:
    return f" ({one_line(holder.reason)})" if holder.reason else ""
