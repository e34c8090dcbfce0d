"""What is guarded, by the volume: what is leased there, and why a place may not be changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from volumelease.core.conflicts import covers
from volumelease.errors import LeaseLost, LeaseViolation
from volumelease.paths.locate import VolumeRoot
from volumelease.paths.mounts import parse_mounts, read_table
from volumelease.paths.resolve import CONTROL, PUBLIC_SUFFIX

from .places import Part, chart, is_on, key_of

if TYPE_CHECKING:
    from typing import Protocol

    class Covering(Protocol):
        """A lease, as the guard needs it."""

        @property
        def mode(self) -> str: ...

        @property
        def lost(self) -> bool: ...

        @property
        def over(self) -> bool: ...

        def check(self) -> None: ...


class Cover:
    """What one block of this process may write. ``keys``: the claims, as leases compare them."""

    __slots__ = ("keys", "lease", "pid")

    def __init__(self, keys: tuple[str, ...], lease: Covering) -> None:
        self.keys = keys
        self.lease = lease
        self.pid = os.getpid()

    def reaches(self, key: str) -> bool:
        for upper in self.keys:  # noqa: SIM110 - a generator costs as much as all the rest
            if covers(upper, key):
                return True
        return False

    def leads_to(self, key: str) -> bool:
        """Whether something leased lies beneath it."""
        return any(covers(key, leased) for leased in self.keys)

    def allows(self) -> bool:
        """Whether it is live and exclusive. In a forked child, as long as the process that it
        was forked from lives: it can't know of a loss there."""
        if self.lease.mode != "exclusive":
            return False
        return not self.lease.over if self.pid == os.getpid() else _is_alive(self.pid)

    def was_lost(self) -> bool:
        return self.pid == os.getpid() and self.lease.lost


class Ground:
    """One volume under guard, as it shows up below one root. ``volume`` is its name in this
    process; ``explain`` says who holds a place, ``refused`` is told of each write that was
    stopped; both raise nothing."""

    def __init__(self, root: VolumeRoot, volume: str) -> None:
        self.volume = volume
        self.root = root.root
        self.real_root = root.real_root
        self.enforced = True
        self.refused: Callable[[], None] = lambda: None
        self.explain: Callable[[str], tuple[dict[str, Any], str]] = lambda key: ({}, "")
        self.covers: tuple[Cover, ...] = ()
        self.at = root
        self._others: tuple[VolumeRoot, ...] = ()
        self._draw(read_table())

    def _draw(self, table: bytes) -> None:
        self._parts = chart(self.at, parse_mounts(table), self._others)
        self._table = table

    def beside(self, others: tuple[VolumeRoot, ...]) -> None:
        """Where other volumes are in use: what is there is theirs."""
        if others != self._others:
            self._others = others
            self._draw(read_table() or self._table)

    def look_again(self) -> bool:
        """Draw the chart anew if what is mounted has changed. False: nobody can tell."""
        table = read_table()
        if table and table != self._table:
            self._draw(table)
        return bool(table)

    def inherited(self, paths: tuple[str, ...]) -> Cover:
        """What covers those paths in the name of a lease that a launcher holds."""
        names = [self.name_of(os.path.realpath(path)) for path in paths]
        keys = [key_of(name) for name in names if name is not None]
        return Cover(tuple(key for key in keys if key.split("/")[0] != CONTROL), _Launchers())

    def leased(self) -> bool:
        return any(cover.allows() for cover in self.covers)

    def name_of(self, real: str) -> str | None:
        """The volume's name of that real path; None: it is elsewhere."""
        return self._find(real)[1]

    def name_now(self, real: str) -> str | None:
        """The same, with a second look at what is mounted below the volume: it may be gone.

        Another file system is known by its device, which is one look at the path; else the table
        of mounts is read. Where it can't be, all below the volume counts as the volume. Limit: a
        device number that was given to another mount in the same place meanwhile.
        """
        part, name = self._find(real)
        if part is None or not part.inner:
            return name
        if part.device is not None and is_on(real, part.device):
            return name
        return self._find(real, inner=self.look_again())[1]

    def _find(self, real: str, inner: bool = True) -> tuple[Part | None, str | None]:
        for part in self._parts:
            place = part.place
            if real.startswith(place) and (inner or not part.inner):
                left = real[len(place) :]
                if not left or left[0] == "/":
                    rest = part.name
                    if rest is None:
                        return part, None
                    return part, (rest + left if rest else left[1:]).rstrip("/")
        return None, None

    def refusal(self, name: str, making_directory: bool) -> tuple[str, Cover | None]:
        """Why that name may not be changed, ``""`` if it may; and the lease that was lost."""
        if name == CONTROL or name.startswith(CONTROL + "/"):
            return _refusal_of_ours(name), None
        key = name if name.isascii() else key_of(name)
        shared, lost = False, None
        for cover in self.covers:
            if cover.reaches(key):
                if cover.allows():
                    return "", None
                if cover.was_lost():
                    lost = cover
                shared = shared or not cover.lease.over
            elif making_directory and cover.leads_to(key) and cover.allows():
                return "", None  # the way to what is leased; an existing directory stays as it is
        if lost is not None:
            return "lost", lost
        return "shared" if shared else "uncovered", None


class _Launchers:
    """A lease that a launcher holds: when it is lost, this process is ended."""

    mode = "exclusive"
    lost = over = False

    def check(self) -> None:
        return


def _refusal_of_ours(name: str) -> str:
    parts = name.split("/")
    if parts[2:3] == ["stage"]:
        return ""
    return "version" if parts[2:3] == ["versions"] else "control"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


_OURS: Final = "What is in .volumelease belongs to volumelease: name another place"


def error_of(
    ground: Ground, words: str, name: str, why: str, lost: Cover | None
) -> LeaseViolation | LeaseLost:
    shown = f"{ground.root.rstrip('/')}/{name}"
    if lost is not None:
        try:
            lost.lease.check()
        except LeaseLost as error:
            advice = error.advice
            return LeaseLost(f"{words} {shown}: {error.what}", advice=advice, **error.facts)
    what = f"[Errno 13] {words} {shown} needs a lease"
    facts, holder = ground.explain(name) if why == "uncovered" else ({}, "")
    if why == "control":
        what, advice = f"[Errno 13] {words} {shown}", _OURS
    elif why == "version":
        what, advice = f"[Errno 13] {words} {shown}", _publish_instead(ground, name)
    elif why == "shared":
        what += " that is exclusive; the one that covers it is shared"
        advice = f'Take it exclusively: volume_lease("{_directory_of(ground, name)}")'
    else:
        what += f". {holder}" if holder else ""
        wait = ", or wait" if facts.get("holder") else ""
        advice = f'Wrap it in volume_lease("{_directory_of(ground, name)}"){wait}'
    facts = {"path": shown, "holder": None, "token": None, "since": None} | facts
    return LeaseViolation(what, advice=advice, **facts)


def _publish_instead(ground: Ground, name: str) -> str:
    *version, unique = name.split("/")[:4]
    try:
        public = os.readlink("/".join((ground.real_root, *version, unique + PUBLIC_SUFFIX)))
    except OSError:
        public = "its path"
    else:
        public = f"{ground.root.rstrip('/')}/{public}"
    return (
        f"It is part of the published {public}, and a version never changes: publish a changed "
        f'copy, with lease.stage("{public}")'
    )


def _directory_of(ground: Ground, name: str) -> str:
    """What to lease: leases are for directories."""
    above = name.rpartition("/")[0] or name
    return f"{ground.root.rstrip('/')}/{above}"
