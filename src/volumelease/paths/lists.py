"""Several paths in one line: what ``hold`` and ``Lease.run`` tell a program that they hold for it.

They are joined by colons, as in PATH, and a name may hold a colon too. All are absolute, so only
a colon before a slash can be between two; one inside a path that stands before a slash gets a
second slash, which leads to the same place. A list without a colon in a name reads as ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_BETWEEN: Final = re.compile(":(?=/(?!/))")
_SLASHES: Final = re.compile("/+")


def joined(paths: Iterable[str]) -> str:
    """Absolute paths in one line."""
    return ":".join(_SLASHES.sub("/", path).replace(":/", "://") for path in paths)


def parted(text: str) -> tuple[str, ...]:
    """The paths in such a line; none in an empty one."""
    return tuple(_SLASHES.sub("/", path) for path in _BETWEEN.split(text) if path)
