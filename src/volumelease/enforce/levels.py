"""The levels of enforcement: their order, and which one is in force."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

from volumelease.settings import Settings

Level: TypeAlias = Literal["none", "python", "landlock", "supervised"]

LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""From the weakest to the strongest."""

VARIABLE: Final = "VOLUMELEASE_ENFORCEMENT"
"""In the environment of a command: what its launcher keeps it to."""


def in_force(environ: Mapping[str, str], settings: Settings) -> Level:
    """What a process with this environment is kept to on a volume, once it uses one: the level
    that its launcher named, and that of the Python guard as its settings have it.

    Limit: the launcher's word; a process can't ask the kernel whether it is confined.
    """
    told = environ.get(VARIABLE, "none")
    launched: Level = next((level for level in LEVELS if level == told), "none")
    own: Level = "python" if settings.guard == "enforce" else "none"
    return max(launched, own, key=LEVELS.index)


def of_this_process(environ: Mapping[str, str]) -> Level:
    """What this process is kept to now, for a metric: ``python`` from its first lease on."""
    told = environ.get(VARIABLE, "none")
    guarding = sys.modules.get("volumelease.enforce.guard")
    armed = guarding is not None and any(g.enforced for g in guarding.guard.grounds)
    launched: Level = next((level for level in LEVELS if level == told), "none")
    return max(launched, "python" if armed else "none", key=LEVELS.index)


def denied_writes() -> int:
    """How many writes the guard of this process refused, or would have refused."""
    guarding = sys.modules.get("volumelease.enforce.guard")
    return guarding.guard.denied if guarding is not None else 0
