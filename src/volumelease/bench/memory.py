"""How much memory a benchmark may still take: of the machine, and of each group that limits it.

In a container the host's free memory says nothing: the limit of its group counts. Sources:
proc_meminfo(5), the kernel's cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

_GROUPS: Final = "/sys/fs/cgroup"
_MEMINFO: Final = "/proc/meminfo"


class Group(NamedTuple):
    """The texts of one control group: its limit, what it uses, and its ``memory.stat``."""

    limit: str
    usage: str
    stat: str


def available_bytes() -> int:
    """Bytes that this process may still take, without anything being swapped out or killed.

    Limit: what is told now; others take memory too.
    """
    groups = [Group(*map(_text, names)) for names in _files(_text("/proc/self/cgroup"))]
    known = room(_text(_MEMINFO), groups)
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known is None else known


def room(meminfo: str, groups: Sequence[Group]) -> int | None:
    """The least of what the machine and all of its groups have left; None: nobody says anything.

    What can't be understood is no limit. Pages of files that nobody used lately count as free, in
    a group as in ``MemAvailable``: a benchmark fills the cache, and would find no memory after it.
    """
    known = [_after(meminfo, "MemAvailable:", 1024), *map(_left, groups)]
    return min((found for found in known if found is not None), default=None)


def _left(group: Group) -> int | None:
    limit, usage = _number(group.limit), _number(group.usage)
    if limit is None or usage is None:
        return None
    unused = _after(group.stat, "total_inactive_file", 1)  # of groups below too, where v1 has both
    if unused is None:
        unused = _after(group.stat, "inactive_file", 1) or 0
    return max(0, limit - max(0, usage - unused))


def _after(text: str, name: str, unit: int) -> int | None:
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [name]:
            found = _number(words[1]) if len(words) > 1 else None
            return None if found is None else found * unit
    return None


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _files(own: str) -> Iterator[tuple[str, str, str]]:
    """The files of each group that ``/proc/self/cgroup`` names, and of those above it. Where only
    a container's own part of the tree is mounted, its name leads nowhere, and its root counts."""
    for line in own.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            top, names = _GROUPS, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            top, names = f"{_GROUPS}/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        for group in _upwards(path):
            place = top + group.rstrip("/")
            yield f"{place}/{names[0]}", f"{place}/{names[1]}", f"{place}/memory.stat"


def _upwards(path: str) -> Iterator[str]:
    group = posixpath.normpath(f"/{path.lstrip('/')}")
    while True:
        yield group
        if group == "/":
            return
        group = posixpath.dirname(group)


def _text(path: str) -> str:
    with (
        contextlib.suppress(OSError),
        open(path, encoding="utf-8", errors="replace") as file,
    ):
        return file.read()
    return ""
