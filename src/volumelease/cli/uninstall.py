"""``volumelease uninstall``: remove everything of ours from a volume that nobody uses."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

import click

from .parameters import PathText
from .returning import give_back, returns
from .speech import Problem, note, one_line, say

if TYPE_CHECKING:
    from volumelease.core.table import Session
    from volumelease.errors import LeaseError
    from volumelease.wire.identity import Identity

    from .reading import Picture, Reader

_CONTROL: Final = ".volumelease"
_LOOK_SECONDS: Final = 0.25


@click.command()
@click.argument("directory", metavar="DIR", type=PathText())
@click.option("--yes", is_flag=True, help="Don't ask.")
def command(directory: str, yes: bool) -> int:
    """Remove everything of volumelease from DIR. Your own files stay.

    Published directories become real ones again, at their public places. Replaced versions and
    drafts go; what would be lost besides is refused by name.

    Only from a volume that nobody uses: it watches for one ttl whether any session still beats.

    Limit: a worker that starts while it is removed makes the volume anew.
    """
    from .reading import patiently

    if not yes:
        _require_person(directory)
    real = patiently(lambda: _examine(directory), directory)
    control = f"{real}/{_CONTROL}"
    if os.path.lexists(f"{control}/identity"):
        _refuse_used(real)
    back = patiently(lambda: returns(real), directory)
    if not yes and not click.confirm(f"Remove it from {one_line(directory)}?", err=True):
        note("nothing was removed")
        return 1
    for one in back:
        give_back(one)
        say(f"{one_line(one.place)} is a real directory again")
    _remove(control)
    say(f"{one_line(directory)} is no volume any more; its own files were left alone")
    return 0


def _examine(directory: str) -> str:
    """The real path of a directory that has something of ours to remove, and nothing else."""
    from volumelease.paths.resolve import resolve

    real = resolve(directory)
    control = f"{real}/{_CONTROL}"
    if not os.path.isdir(control) or os.path.islink(control):
        raise _nothing_there(directory, control)
    returns(real)
    return real


def _nothing_there(directory: str, control: str) -> LeaseError:
    from volumelease.errors import VolumeNotFound

    if os.path.lexists(control):
        return Problem(
            f"{control} is not the directory that volumelease makes",
            advice=f"Look at it, and move it away: mv {control} {control}.old",
        )
    return VolumeNotFound(
        f"{directory} is no volume", advice="Nothing is to be done", path=directory
    )


def _require_person(directory: str) -> None:
    if not sys.stdin.isatty():
        raise Problem(
            f"uninstall removes the log of {directory}, and nobody is here to confirm it",
            advice=f"volumelease uninstall {directory} --yes",
            exit_code=2,
        )


# ---- is anybody there?


def _refuse_used(real: str) -> None:
    from .reading import Reader

    reader = Reader(real)
    picture = reader.look()
    _refuse_unapplied(real, picture)
    suspects = _unproven(picture)
    if not suspects:
        return
    names = ", ".join(_who(session) for session in list(suspects.values())[:3])
    note(f"watching for {picture.identity.ttl + 1:g} s whether {names} still beats")
    _watch(reader, real, picture.identity, suspects)


def _refuse_unapplied(real: str, picture: Picture) -> None:
    for one in picture.table.pending.values():
        raise Problem(
            f"{one.target.path} was published and is not visible yet",
            advice=f"volumelease hold {real}/{one.target.path} -- true makes it visible",
        )


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


def _watch(reader: Reader, real: str, identity: Identity, suspects: dict[str, Session]) -> None:
    """Returns when each of ``suspects`` has left the table, or stood still for so long that it
    could be expired.

    Errors: ``Problem``, naming the first that beats, or that comes.
    """
    from volumelease.authorities.volume.layout import Layout
    from volumelease.clock import SystemClock
    from volumelease.core.liveness import Standstill, Timing

    layout, timing, clock = Layout.of(real, identity), Timing(identity.ttl), SystemClock()
    watched = {name: (Standstill(timing), _counter(layout.session(name))) for name in suspects}
    while watched:
        time.sleep(_LOOK_SECONDS)
        here = _unproven(reader.look())
        for name, (standstill, first) in list(watched.items()):
            asked = clock.read()
            counter = _counter(layout.session(name))
            if counter is not None and counter != first:
                raise _in_use(real, suspects[name], "beats")
            if name not in here or standstill.look(counter, asked, clock.read()):
                del watched[name]
        for name in here.keys() - suspects.keys():
            raise _in_use(real, here[name], "has just come")


def _counter(path: str) -> int | None:
    try:
        return int(os.stat(path).st_mtime)
    except FileNotFoundError:
        return None


def _in_use(real: str, session: Session, does: str) -> Problem:
    return Problem(
        f"{real} is in use: {_who(session)} {does}",
        advice="Stop the workers first; see who holds what: volumelease status",
    )


def _who(session: Session) -> str:
    facts = session.facts
    process = f"process {facts.process.pid} on {facts.process.hostname}"
    return f"worker {facts.worker} ({process})" if facts.worker else process


# ---- gone


def _remove(control: str) -> None:
    """In one step for everybody else, by a rename; then at leisure."""
    import shutil

    from volumelease.paths.proof import PEERS

    doomed = f"{control}.uninstalled-{os.urandom(4).hex()}"
    os.rename(control, doomed)
    shutil.rmtree(doomed)
    shutil.rmtree(f"{os.path.dirname(control)}/{PEERS}", ignore_errors=True)
