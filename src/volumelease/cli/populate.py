"""``volumelease populate``: let one worker of the fleet build what all of them need."""

from __future__ import annotations

import sys

import click

from .keeper import Wish
from .parameters import PathText, at_least
from .reins import take_reins
from .trailing import WithCommand, refused, words_of


@click.command(cls=WithCommand)
@click.argument("path", metavar="PATH", type=PathText())
@click.option(
    "--timeout",
    type=float,
    callback=at_least(0),
    metavar="S",
    help="Wait at most S seconds for another builder, 0 not at all.",
)
@click.option("--resume", is_flag=True, help="Go on with what a builder that died had written.")
@click.option("--reason", metavar="TEXT", default="", help="Shown to whoever waits.")
@click.pass_context
def command(
    context: click.Context, path: str, timeout: float | None, resume: bool, reason: str
) -> int:
    """Have COMMAND build what is published at PATH, once in the whole fleet.

    If PATH is published, nothing is done. Else one worker runs COMMAND, the others wait and say
    who builds and how far it is. COMMAND writes a file or a directory at the draft: {} in its
    words, and VOLUMELEASE_DRAFT (in a shell's script use that, quoted). When it and all that it
    started has ended with 0, the draft becomes visible at PATH in one step.

    If COMMAND fails, nothing is left and its exit code is returned. If its builder dies or loses
    the lease, COMMAND and all it started are ended before the next builder begins. With --resume
    the next one gets what a builder that died, or was told to end by a signal, had written; then
    COMMAND must be able to go on from any state.

    Limit: a file that exists at PATH is taken for published, whoever made it. What a container
    runtime or a scheduler elsewhere runs for COMMAND, or runs as another user (sudo), is not ended.

    Exit codes: the command's own, 1 not published, 75 timeout, 76 lease lost, 126 not
    executable, 127 not found.
    """
    words = words_of(context)
    if not any("{}" in word for word in words):
        raise click.UsageError(
            "no {} in the command: it stands for the draft that the command has to write", context
        )
    wish = Wish(
        paths=(path,),
        shared=False,
        timeout=timeout,
        reason=reason or "populate",
        draft=True,
        resume=resume,
        watched=sys.stderr.isatty(),
    )
    reins = take_reins(words, wish)
    from .building import Building
    from .holding import CommandRefused

    try:
        return Building(reins, path).run()
    except CommandRefused as refusal:
        raise refused(words[0], refusal.facts["errno"]) from None
