"""The command that stands after ``--``, for those of ours that run one."""

from __future__ import annotations

import errno
import os
import shutil
from typing import Final

import click

from .speech import Problem

_WORDS: Final = "volumelease.command"
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126


class WithCommand(click.Command):
    """Everything after ``--`` is the command, and none of our business."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words: list[str] = []
        if "--" in args:
            at = args.index("--")
            args, words = args[:at], args[at + 1 :]
        ctx.meta[_WORDS] = tuple(words)
        rest = super().parse_args(ctx, args)
        if not words and not ctx.resilient_parsing:
            raise click.UsageError("no command: it stands after --", ctx)
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- COMMAND..."]


def words_of(context: click.Context) -> tuple[str, ...]:
    """The command. Errors: ``Problem`` if there is no such program."""
    words: tuple[str, ...] = context.meta[_WORDS]
    if shutil.which(words[0]) is None:
        raise refused(words[0], errno.EACCES if os.path.exists(words[0]) else errno.ENOENT)
    return words


def refused(name: str, number: int) -> Problem:
    """The command could not be executed, and why."""
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
