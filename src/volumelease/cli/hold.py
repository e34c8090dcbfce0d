"""``volumelease hold``: run a command under a lease."""

from __future__ import annotations

import click

from .keeper import Wish
from .parameters import PathText, at_least
from .reins import take_reins
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
@click.option("--reason", metavar="TEXT", default="", help="Shown to whoever waits.")
@click.pass_context
def command(
    context: click.Context, paths: tuple[str, ...], shared: bool, timeout: float | None, reason: str
) -> int:
    """Run COMMAND while holding a lease on every PATH.

    The command gets VOLUMELEASE_TOKEN, VOLUMELEASE_PATHS and the signals sent to hold; hold
    returns its exit code. When the lease is lost, the command and all it started are ended (TERM,
    then KILL) before anybody else can hold the paths. What the command leaves running at its end
    is ended too.

    Limit: what a container runtime or a scheduler elsewhere runs for the command is not ended.

    Exit codes: the command's own, 75 timeout, 76 lease lost, 126 not executable, 127 not found.
    """
    words = words_of(context)
    reins = take_reins(words, Wish(paths, shared, timeout, reason))
    from .holding import CommandRefused, Holding

    try:
        return Holding(reins).run()
    except CommandRefused as refusal:
        raise refused(words[0], refusal.facts["errno"]) from None
