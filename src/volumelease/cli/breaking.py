"""``volumelease break``: take a lease away from whoever holds it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from .parameters import PathText
from .speech import Problem, moment, note, one_line, say, seconds

if TYPE_CHECKING:
    from volumelease.leases.hosting import Hosting
    from volumelease.model import Holder

    from .places import Place
    from .reading import Picture

_LOOK_SECONDS: Final = 0.1
LIMIT: Final = "what the holder writes in place after it lost the lease is not stopped"
DANGER: Final = (
    "DANGEROUS: until its next beat the holder goes on as if it held the lease, and so may the "
    "next one"
)


@click.command("break", short_help="Take a lease away from its holder.")
@click.argument("path", metavar="PATH", type=PathText())
@click.option(
    "--token",
    required=True,
    type=click.IntRange(min=0),
    metavar="N",
    help="Which lease: status shows its token. No other one is touched.",
)
@click.option("--reason", required=True, metavar="TEXT", help="Why; the holder is told.")
@click.option("--force", is_flag=True, help="Don't wait until the holder noticed. DANGEROUS.")
@click.option("--json", "as_json", is_flag=True, help="For programs; the form is stable.")
def command(path: str, token: int, reason: str, force: bool, as_json: bool) -> int:
    """Take the lease with token N away from whoever holds it on PATH.

    It is marked as being broken: nothing can be published under it any more, and its holder loses
    it at its next beat. It ends when the holder lets go, else after the ttl and one second, which
    is waited for here; if this command is interrupted, other workers end it. Who broke it, and
    why, is kept on the volume and told to the holder.

    --force ends it at once. DANGEROUS: until its next beat the holder goes on as if it held the
    lease, and the next one may write at the same time. Only for a holder that you know is gone.

    Limit: what the holder writes in place after it lost the lease is not stopped.
    """
    from .places import place_of
    from .reading import Reader, patiently

    if not reason.strip():
        raise click.UsageError("--reason is empty", click.get_current_context())
    place = patiently(lambda: place_of(path), path)
    picture = Reader(place.root).look()
    victim = _victim(place, path, token, picture)
    order = _Order(reason, force, f"broken-{token}-{os.urandom(4).hex()}.json")
    if force:
        note(DANGER)
    started = time.monotonic()
    ended = _break(place, picture, victim, order)
    waited = time.monotonic() - started
    if ended is None:
        raise Problem(
            f"token {token} was let go before it could be broken",
            advice=f"See who holds it now: volumelease status {path}",
        )
    if as_json:
        say(json.dumps(_document(place, picture, victim, order, ended, waited)))
        return 0
    say(f"token {token} on {_paths(victim)}, held by {victim}: {ended} after {seconds(waited)}")
    audit = _audit_path(place, picture, order.audit)
    if audit:
        say(f"audited in {one_line(audit)}")
    say(f"limit: {LIMIT}")
    return 0


@dataclass(frozen=True, slots=True)
class _Order:
    """What a person wants to happen to a lease; ``audit`` names the file that tells of it."""

    reason: str
    force: bool
    audit: str


# ---- whose lease it is


def _victim(place: Place, path: str, token: int, picture: Picture) -> Holder:
    """Errors: ``Problem``, which names what is held there."""
    everybody = {holder.token: holder for holder in picture.holders()}
    here = [holder for holder in everybody.values() if place.concerns(holder.paths)]
    found = everybody.get(token)
    if found is not None and found in here:
        return found
    waiting = {holder.token: holder for holder, _ in picture.waiters()}
    if found is not None:
        what = f"token {token} is a lease on {_paths(found)}, which is not on {path}"
        advice = f"volumelease break {_absolute(place, found)} --token {token} --reason TEXT"
    elif token in waiting:
        what = f"token {token} holds nothing: {waiting[token]} waits for {_paths(waiting[token])}"
        advice = "Break a lease that it waits for, or stop that worker"
    else:
        what = f"token {token} holds nothing on {path}"
        advice = f"volumelease history {path} tells what became of it"
    if here:
        what += f"; held there: {'; '.join(_told(holder) for holder in here[:3])}"
        what += f" and {len(here) - 3} more" if len(here) > 3 else ""
    elif found is None:
        what += "; nobody holds a lease there"
    raise Problem(what, advice=advice)


def _told(holder: Holder) -> str:
    mode = "exclusive" if holder.exclusive else "shared"
    return f"token {holder.token}, {mode} on {_paths(holder)}, by {holder}"


def _paths(holder: Holder) -> str:
    return ", ".join(path or "the whole volume" for path in holder.paths)


def _absolute(place: Place, holder: Holder) -> str:
    return place.absolute(holder.paths)[0]


# ---- breaking it


def _break(place: Place, picture: Picture, victim: Holder, order: _Order) -> str | None:
    """How the lease ended, or None if there was nothing to break any more."""
    from volumelease.leases.volumes import Surroundings, Volumes

    from .reading import patiently

    volumes = Volumes(Surroundings.of_this_process()._replace(report=note))
    hosted = patiently(lambda: volumes.session(place.volume), place.root)
    try:
        breaking = hosted.session.breaking
        record = _record(place, victim, order, hosted)
        steps = breaking.begin(victim.token, order.reason, order.audit, record)
        if not patiently(lambda: hosted.run(steps), place.root):
            return None
        if order.force:
            patiently(lambda: hosted.run(breaking.end_at_once(victim.token)), place.root)
            if not breaking.under_way(victim.token):  # else a Redis just forgot the mark
                return "ended at once, by force"
        longest = picture.identity.ttl + 1
        note(f"marked; waiting until the holder lets go, at most about {longest:g} s")
        return _wait_for_end(hosted, victim.token, place.root)
    finally:
        patiently(volumes.close, place.root)


def _wait_for_end(hosted: Hosting[Any], token: int, root: str) -> str:
    """Look on until the lease has ended, and end it when it is time. Returns how it ended."""
    from volumelease.errors import AuthorityUnreachable

    from .reading import patiently

    session = hosted.session
    while session.breaking.under_way(token):
        if not hosted.alive():
            raise AuthorityUnreachable(
                f"this command lost its own session while it waited: {session.pulse.lost}. The "
                "lease stays marked, and other workers end it",
                advice="volumelease status shows what became of it",
                root=root,
                seconds=0.0,
            )
        patiently(lambda: hosted.run(session.breaking.look_on()), root)
        time.sleep(_LOOK_SECONDS)
    ended: str = session.breaking.ends.get(token, "ended")
    return ended


def _audit_path(place: Place, picture: Picture, name: str) -> str:
    """Where it was written down; "" where a full volume did not take it."""
    from volumelease.authorities.volume.layout import Layout

    from .reading import patiently

    path = Layout.of(place.root, picture.identity).audit(name)
    if patiently(lambda: os.path.lexists(path), place.root):
        return path
    note("the volume took no file in audit/: only the log knows who broke it, until it is deleted")
    return ""


def _document(
    place: Place, picture: Picture, victim: Holder, order: _Order, ended: str, waited: float
) -> dict[str, Any]:
    return {
        "schema": 1,
        "volume": place.as_document(picture.identity.id),
        "token": str(victim.token),
        "paths": place.absolute(victim.paths),
        "session": victim.session,
        "endpoint": victim.endpoint,
        "worker": victim.worker,
        "host": victim.host,
        "pid": victim.pid,
        "reason": order.reason,
        "force": order.force,
        "ended": ended,
        "waited_seconds": round(waited, 3),
        "audit": _audit_path(place, picture, order.audit),
    }


def _record(place: Place, victim: Holder, order: _Order, hosted: Hosting[Any]) -> bytes:
    """What is kept about it for ever."""
    facts = hosted.session.facts
    process = facts.process
    document = {
        "schema": 1,
        "what": "a lease was broken",
        "at": time.time(),
        "time": moment(time.time()),
        "token": str(victim.token),
        "paths": place.absolute(victim.paths),
        "reason": order.reason,
        "force": order.force,
        "by": {
            "user": os.getuid(),
            "host": process.hostname,
            "pid": process.pid,
            "worker": facts.worker,
            "endpoint": facts.endpoint,
            "session": hosted.session.name,
        },
        "holder": {
            "host": victim.host,
            "pid": victim.pid,
            "worker": victim.worker,
            "endpoint": victim.endpoint,
            "session": victim.session,
            "reason": victim.reason,
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()
