"""Values that several commands take, and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    _TextType = click.ParamType[str]
else:
    _TextType = click.ParamType


class PathText(_TextType):
    """A path as it was typed. It is not looked at here: a volume can hang, and the commands that
    touch one know what to do then. Shells complete it as a path."""

    name = "path"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


Check = Callable[[click.Context, click.Parameter, float | None], float | None]


def at_least(least: float) -> Check:
    """For an option in seconds: a finite number, from ``least`` up."""

    def check(
        context: click.Context, parameter: click.Parameter, value: float | None
    ) -> float | None:
        if value is not None and not (math.isfinite(value) and value >= least):
            raise click.BadParameter(
                f"{value:g} is no number of seconds from {least:g} up", context, parameter
            )
        return value

    return check
