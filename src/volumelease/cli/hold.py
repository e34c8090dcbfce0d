"""``volumelease hold``: run a command under a lease."""

from __future__ import annotations

import click

from .keeper import Wish
from .parameters import PathText, at_least
from .reins import take_reins
from .sandboxing import level_for
from .trailing import WithCommand, refused, words_of


@click.command(cls=WithCommand)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PathText())
@click.option("--shared", is_flag=True, help="Together with other shared leases.")
@click.option(
    "--timeout",
    type=float,
    callback=at_least(0),
    metavar="S",
    help="Wait at most S seconds, 0 not at all.",
)
@click.option("--sandbox", is_flag=True, help="Let it write on the volume only below PATH.")
@click.option(
    "--require",
    type=click.Choice(["python", "landlock", "supervised"]),
    help="Exit 78 where it can't be kept to at least this level.",
)
@click.option("--reason", metavar="TEXT", default="", help="Shown to whoever waits.")
@click.pass_context
def command(
    context: click.Context,
    paths: tuple[str, ...],
    shared: bool,
    timeout: float | None,
    sandbox: bool,
    require: str | None,
    reason: str,
) -> int:
    """Run COMMAND while holding a lease on every PATH.

    The command gets VOLUMELEASE_TOKEN, VOLUMELEASE_PATHS and the signals sent to hold; hold
    returns its exit code. When the lease is lost, the command and all it started are ended (TERM,
    then KILL) before anybody else can hold the paths. What the command leaves running at its end
    is ended too.

    --sandbox: the kernel (Landlock) keeps the command and all it starts from writing anywhere else
    on the volume, in any language. A PATH that is not there is made, as a directory. Where the
    kernel can't, a line says so and the command runs all the same; with --require it does not.
    What is denied, and what not, stands in ENFORCEMENT.md.

    Limit: what a container runtime or a scheduler elsewhere runs for the command is not ended, nor
    what runs as another user (sudo): for its end hold waits, and tells you to see to it.

    Exit codes: the command's own, 75 timeout, 76 lease lost, 78 below the required level, 126 not
    executable, 127 not found.
    """
    words = words_of(context)
    level = level_for(sandbox, require)
    reins = take_reins(words, Wish(paths, shared, timeout, reason, level=level))
    from .holding import CommandRefused, Holding

    try:
        return Holding(reins).run()
    except CommandRefused as refusal:
        raise refused(words[0], refusal.facts["errno"]) from None
