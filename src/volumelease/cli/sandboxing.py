"""What ``hold`` is asked to keep its command to, and what it can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .speech import Problem, note

if TYPE_CHECKING:
    from volumelease.enforce.levels import Level

MISSING: Final = 78
"""EX_CONFIG of sysexits.h: this machine, or container, lacks what was required."""


def level_for(asked: bool, require: str | None) -> Level:
    """The level that the command will be kept to. Where a sandbox is only asked for and can't be
    had, a person is told, and the command runs at the lower level.

    Errors: ``Problem`` with exit code 78 where the level is required.
    """
    if require == "supervised":
        raise Problem(
            "level supervised is required, and this version has none",
            advice="--require landlock",
            exit_code=MISSING,
        )
    if not asked and require is None:
        return "none"
    # The sandbox too: what is imported before the fork is there in all of its processes.
    from volumelease.enforce import (
        landlock,
        sandbox,  # noqa: F401 - see above
    )

    try:
        landlock.abi()
    except landlock.LandlockMissing as error:
        if require is not None:
            raise Problem(
                f"level {require} is required, and can't be had here: {error.strerror}",
                advice="Leave --require away to run at a lower level, or run it where Landlock "
                "works: volumelease doctor",
                exit_code=MISSING,
            ) from None
        note(f"enforcement: level none instead of landlock: {error.strerror}")
        return "none"
    return "landlock"


def failed(code: int) -> Problem:
    """The sandbox could not be set up in the command's process."""
    import os

    return Problem(
        f"the command was not started, because its sandbox could not be set up: "
        f"{os.strerror(code)}",
        advice="See what works here: volumelease doctor",
        exit_code=MISSING,
    )
