"""Whether anybody still uses a volume: found by watching, for what can't be proven."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from .speech import Problem, note

if TYPE_CHECKING:
    from volumelease.core.table import Session
    from volumelease.wire.identity import Identity

    from .reading import Picture, Reader

_LOOK_SECONDS: Final = 0.25
_SILENT: Final = " "
"""Begins the name of what is no session: what those who may be there would come back to."""


class _Seen(NamedTuple):
    """One that may be alive. ``counter``: of its heartbeat, None where it shows none."""

    who: str
    counter: int | None


_Look: TypeAlias = Callable[[], dict[str, _Seen]]


def refuse_used(real: str) -> None:
    """Returns when nobody can be using the volume any more.

    What is not provably dead is watched, until it has stood still for so long that it could be
    expired; so is a Redis that has forgotten, and a log that can't be read, for whoever was there
    comes back to it, or beats, within a ttl.

    Errors: ``Problem``, naming the first that beats or comes, or a publish that is under way.
    """
    from volumelease.errors import LogDamaged

    from .reading import Reader

    reader = Reader(real)
    try:
        picture = reader.look()
    except LogDamaged as error:
        note(f"the log can't be read ({error.what}): its sessions' files are watched instead")
        identity = reader.identity
        _watch(real, identity, lambda: _files(real, identity))
        return
    _refuse_unapplied(real, picture)
    look = _in_redis if picture.identity.authority == "redis" else _in_the_log
    _watch(real, picture.identity, lambda: look(reader))


def _refuse_unapplied(real: str, picture: Picture) -> None:
    for one in picture.table.pending.values():
        raise Problem(
            f"{one.target.path} was published and is not visible yet",
            advice=f"volumelease hold {real}/{one.target.path} -- true makes it visible",
        )


# ---- who may be there


def _in_the_log(reader: Reader) -> dict[str, _Seen]:
    from volumelease.authorities.volume.layout import Layout

    picture = reader.look()
    layout = Layout.of(reader.root, picture.identity)
    return {
        name: _Seen(_who(session), _counter(layout.session(name)))
        for name, session in _unproven(picture).items()
    }


def _in_redis(reader: Reader) -> dict[str, _Seen]:
    picture = reader.look()
    counters = picture.counters or {}
    found = {
        name: _Seen(_who(session), counters.get(name))
        for name, session in _unproven(picture).items()
    }
    if picture.table.grace or not picture.next_index:
        who = "whoever was there before the Redis forgot"
        found[f"{_SILENT}{picture.next_index}"] = _Seen(who, None)
    return found


def _files(real: str, identity: Identity) -> dict[str, _Seen]:
    """By the heartbeats alone. Whose they are stood in the log."""
    from volumelease.authorities.volume.layout import Layout

    layout = Layout.of(real, identity)
    try:
        names = os.listdir(layout.folder("sessions"))
    except FileNotFoundError:
        names = []
    found = {name: _Seen(f"session {name}", _counter(layout.session(name))) for name in names}
    return found | {_SILENT: _Seen("anybody", None)}


def _unproven(picture: Picture) -> dict[str, Session]:
    """The sessions that may be alive: not those whose process, and every process that uses its
    leases, is provably gone."""
    from volumelease.host import ProcessFacts, provably_dead, this_process

    here = this_process()
    table = picture.table
    found = {}
    for name, session in table.sessions.items():
        process = session.facts.process
        held = [table.holdings[token] for token in table.tokens_of(name)]
        users = {(h.client.pid, h.client.start_time) for h in held if h.client is not None}
        place = (process.hostname, process.boot_id, process.pid_namespace)
        everybody = [process, *(ProcessFacts(*place, *user) for user in users)]
        if not all(provably_dead(one, here) for one in everybody):
            found[name] = session
    return found


def _counter(path: str) -> int | None:
    try:
        return int(os.stat(path).st_mtime)
    except FileNotFoundError:
        return None


# ---- watching


def _watch(real: str, identity: Identity, look: _Look) -> None:
    """Until each of those that ``look`` finds is gone, or stood still for long enough."""
    from volumelease.clock import SystemClock
    from volumelease.core.liveness import Standstill, Timing

    from .reading import patiently

    timing, clock = Timing(identity.ttl), SystemClock()
    first = patiently(look, real)
    if not first:
        return
    names = ", ".join(list(dict.fromkeys(one.who for one in first.values()))[:3])
    note(f"watching for {timing.standstill:g} s whether {names} still beats")
    watched = {name: Standstill(timing) for name in first}
    ended = set[str]()
    while watched:
        time.sleep(_LOOK_SECONDS)
        asked = clock.read()
        here = patiently(look, real)
        answered = clock.read()
        for name, one in here.items():
            if name not in first:
                if not name.startswith(_SILENT):
                    raise _in_use(real, one.who, "has just come")
                first[name], watched[name] = one, Standstill(timing)
            if one.counter is not None and one.counter != first[name].counter:
                raise _in_use(real, one.who, "beats")
            if name not in ended and watched[name].look(one.counter, asked, answered):
                ended.add(name)
        watched = {name: still for name, still in watched.items() if name in here.keys() - ended}


def _in_use(real: str, who: str, does: str) -> Problem:
    return Problem(
        f"{real} is in use: {who} {does}",
        advice="Stop the workers first; see who holds what: volumelease status",
    )


def _who(session: Session) -> str:
    facts = session.facts
    process = f"process {facts.process.pid} on {facts.process.hostname}"
    return f"worker {facts.worker} ({process})" if facts.worker else process
