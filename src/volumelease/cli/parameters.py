"""Values that several commands take, and what is allowed."""

from __future__ import annotations

import math
from collections.abc import Callable

import click

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
