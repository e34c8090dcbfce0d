"""``volumelease uninstall``: remove everything of ours from a volume that nobody uses."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from .parameters import PathText
from .presence import refuse_used
from .returning import give_back, returns
from .speech import Problem, note, one_line, say

if TYPE_CHECKING:
    from volumelease.errors import LeaseError
    from volumelease.wire.identity import Identity

_CONTROL: Final = ".volumelease"


@click.command()
@click.argument("directory", metavar="DIR", type=PathText())
@click.option("--yes", is_flag=True, help="Don't ask.")
def command(directory: str, yes: bool) -> int:
    """Remove everything of volumelease from DIR. Your own files stay.

    Published directories become real ones again, at their public places. Replaced versions and
    drafts go; what would be lost besides is refused by name.

    Only from a volume that nobody uses: it watches for one ttl whether any session still beats.

    What a Redis keeps of it goes too, if it answers.

    Limit: a worker that starts while it is removed makes the volume anew.
    """
    from .reading import patiently

    if not yes:
        _require_person(directory)
    real = patiently(lambda: _examine(directory), directory)
    control = f"{real}/{_CONTROL}"
    if os.path.lexists(f"{control}/identity"):
        refuse_used(real)
    back = patiently(lambda: returns(real), directory)
    if not yes and not click.confirm(f"Remove it from {one_line(directory)}?", err=True):
        note("nothing was removed")
        return 1
    for one in back:
        give_back(one)
        say(f"{one_line(one.place)} is a real directory again")
    kept = patiently(lambda: _kept_on_a_redis(real), directory)
    _remove(control)
    if kept is not None:
        _remove_from_the_redis(real, kept)
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


# ---- gone


def _remove(control: str) -> None:
    """In one step for everybody else, by a rename; then at leisure."""
    import shutil

    from volumelease.paths.proof import PEERS

    doomed = f"{control}.uninstalled-{os.urandom(4).hex()}"
    os.rename(control, doomed)
    shutil.rmtree(doomed)
    shutil.rmtree(f"{os.path.dirname(control)}/{PEERS}", ignore_errors=True)


def _kept_on_a_redis(real: str) -> Identity | None:
    """The identity of a volume whose leases a Redis keeps, or kept before they moved."""
    from volumelease.authorities.volume import founding
    from volumelease.drivers.files import Files
    from volumelease.drivers.threads import Monitor
    from volumelease.errors import LeaseError

    try:
        identity = Monitor(Files()).run(founding.read_identity(real))
    except LeaseError:
        return None
    return identity if identity and (identity.authority == "redis" or identity.era) else None


def _remove_from_the_redis(real: str, identity: Identity) -> None:
    """Errors: none; a note says what is left."""
    from volumelease.errors import LeaseError
    from volumelease.leases.redis_hosting import remove_from

    from .places import settings_of_this_process
    from .reading import patiently

    settings = settings_of_this_process()
    try:
        if settings.redis_url is not None:
            return patiently(lambda: remove_from(identity.id, real, settings), real)
        why = "VOLUMELEASE_REDIS_URL is not set here"
    except LeaseError as error:
        why = error.what
    note(f"what the Redis keeps of it is left, below {{volumelease:{identity.id}}}: {why}")
    return None
