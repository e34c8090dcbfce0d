"""``volumelease hold``: run a command under a lease."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Final

import click

from .keeper import Wish
from .parameters import PathText, at_least
from .reins import take_reins
from .speech import Problem

_COMMAND: Final = "volumelease.command"
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126


class _Command(click.Command):
    """Everything after ``--`` is the command, and none of our business."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words: list[str] = []
        if "--" in args:
            at = args.index("--")
            args, words = args[:at], args[at + 1 :]
        ctx.meta[_COMMAND] = tuple(words)
        rest = super().parse_args(ctx, args)
        if not words and not ctx.resilient_parsing:
            raise click.UsageError("no command: it stands after --", ctx)
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND..."]


@click.command(cls=_Command)
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
    words: tuple[str, ...] = context.meta[_COMMAND]
    if shutil.which(words[0]) is None:
        raise _refused(words[0], errno.EACCES if os.path.exists(words[0]) else errno.ENOENT)
    reins = take_reins(words, Wish(paths, shared, timeout, reason))
    from .holding import CommandRefused, Holding

    try:
        return Holding(reins).run()
    except CommandRefused as refusal:
        raise _refused(words[0], refusal.facts["errno"]) from None


def _refused(name: str, number: int) -> Problem:
    if number == errno.ENOENT:
        return Problem(
            f"{name} can't be run: no such command",
            advice="Check its name, PATH and the first line of a script",
            exit_code=_NOT_FOUND,
        )
    unfit = number in (errno.EACCES, errno.ENOEXEC)
    return Problem(
        f"{name} can't be run: {os.strerror(number)}",
        advice="chmod +x it, and give a script a first line like #!/bin/sh"
        if unfit
        else "Look at the limits of this machine or container",
        exit_code=_NOT_EXECUTABLE,
    )
