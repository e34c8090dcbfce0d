"""Where a volume shows up in this process, and where a path leads."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from volumelease.paths.locate import VolumeRoot
from volumelease.paths.mounts import UNSEEN, Mount, may_be_one, mount_of, read_mounts
from volumelease.paths.resolve import below

_LOOK: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_SAYS_NOTHING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENAMETOOLONG})
"""Errors of opening a directory with which a rename or a removal in it may still succeed."""

_MOST_LINKS: Final = 40
_REMEMBERED_SECONDS: Final = 1.0
_MOST_DIRECTORIES: Final = 1000
_MOST_ENTRIES: Final = 1000
_MANY: Final = "/"
"""Stands among names for: too many to know. No file is named so."""


def real_place(path: str, at: int, follows: bool, recent: Recent) -> str | None:
    """The real path of a name that is about to be changed; None: the call will fail by itself.

    The kernel follows the directory, and its descriptor's name in /proc/self/fd is the answer: 8
    microseconds on MooseFS, against 216 for ``realpath``. With ``follows``, a link at the end is
    followed too. What ``recent`` remembers is not asked again. Where no descriptor is left, or
    the kernel can't tell its name (no /proc, or longer than a path may be), ``realpath`` answers.
    Never raises ``OSError``.

    Limit: a descriptor (``dir_fd``) of a directory whose path is longer than a path may be is
    not found.
    """
    if at >= 0 and not path.startswith("/"):
        path = f"/proc/self/fd/{at}/{path}"
    for _ in range(_MOST_LINKS):
        head, slash, name = path.rpartition("/")
        if name in ("", ".", ".."):
            head, slash, name = path.rstrip("/").rpartition("/")
            if name in ("", ".", ".."):
                return _directory(path)
        above = recent.real(head)
        target = None
        if above is not None:
            if follows and recent.may_be_link(above, name):
                target = _link_at(f"{above}/{name}")
        else:
            above, target = _look(head or ("/" if slash else "."), name, follows, recent)
            if above is None:
                return None
            recent.note(head, above)
        if target is None:
            return f"/{name}" if above == "/" else f"{above}/{name}"
        path = target if target.startswith("/") else f"{above}/{target}"
    return None


def _look(
    directory: str, name: str, follows: bool, recent: Recent
) -> tuple[str | None, str | None]:
    """(the real path of the directory, where a link of that name leads if that is asked for)."""
    try:
        parent = os.open(directory, _LOOK)
    except OSError as error:
        if error.errno not in _SAYS_NOTHING:
            return None, None
        above = _walked(directory)
        return above, _link_at(f"{above}/{name}") if follows and above else None
    try:
        above = _name_of(parent) or _walked(directory)
        if above is None or not follows or not recent.may_be_link(above, name):
            return above, None
        return above, _link_at(name, parent)
    finally:
        os.close(parent)


def _name_of(descriptor: int) -> str | None:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None


def _walked(directory: str) -> str | None:
    """Takes no descriptor, but asks about every component."""
    try:
        return os.path.realpath(directory)
    except OSError:  # the current directory is gone
        return None


def _link_at(name: str, directory: int | None = None) -> str | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:  # no link, or nothing yet
        return None


class Recent:
    """Where directories led, and which of their names are links, remembered for a second.

    A network mount keeps no entries of files, so every look at a name is a question to its server
    (70 microseconds on MooseFS). Whoever opens several files of a directory for writing asks once
    for all of it instead. What this process links or renames is seen at once; what another
    program moves meanwhile is seen a second later.
    """

    def __init__(self, is_ours: Callable[[str], bool]) -> None:
        self._is_ours = is_ours
        self._places: dict[str, tuple[float, str]] = {}
        self._links: dict[str, tuple[float, frozenset[str] | None]] = {}

    def real(self, directory: str) -> str | None:
        """The real path of that directory, if it was looked up just now."""
        known = self._places.get(directory)
        if known is None or time.monotonic() - known[0] >= _REMEMBERED_SECONDS:
            return None
        return known[1]

    def note(self, directory: str, real: str) -> None:
        # A relative name and a descriptor's mean something else a moment later.
        if directory[:1] == "/" and not directory.startswith("/proc/"):
            if len(self._places) > _MOST_DIRECTORIES:
                self._places.clear()
            self._places[directory] = (time.monotonic(), real)

    def may_be_link(self, directory: str, name: str) -> bool:
        now = time.monotonic()
        when, links = self._links.get(directory, (-_REMEMBERED_SECONDS, None))
        if now - when < _REMEMBERED_SECONDS:
            if links is None:
                links = _links_in(directory)
                self._links[directory] = (now, links)
            return name in links or _MANY in links
        if self._is_ours(directory):
            if len(self._links) > _MOST_DIRECTORIES:
                self._links.clear()
            self._links[directory] = (now, None)  # the next one asks for all of it
        return True

    def forget_all(self) -> None:
        self._places.clear()
        self._links.clear()

    def forget(self, directory: str) -> None:
        """Something was moved or linked in that directory."""
        self._places.clear()
        self._links.pop(directory, None)


def _links_in(directory: str) -> frozenset[str]:
    found = set()
    try:
        with os.scandir(directory) as entries:
            for number, entry in enumerate(entries):
                if number == _MOST_ENTRIES:
                    return frozenset({_MANY})
                if entry.is_symlink():
                    found.add(entry.name)
    except OSError:
        return frozenset({_MANY})
    return frozenset(found)


def _directory(path: str) -> str | None:
    try:
        found = os.open(path, _LOOK)
    except OSError as error:
        return _walked(path) if error.errno in _SAYS_NOTHING else None
    try:
        return _name_of(found) or _walked(path)
    finally:
        os.close(found)


def appearances(root: VolumeRoot, mounts: Iterable[Mount] | None = None) -> dict[str, str]:
    """Where the volume, or a part of it, is to be found in this process: real path of a
    directory, and the volume's name of it (``""``: all of it). Its own root comes first.

    Limit: a picture of one moment; a bind mount made later is not in it, and a second mount of
    the same network volume by another process (another device) never is.
    """
    found = {root.real_root: ""}
    home = root.mount
    if home is UNSEEN:
        return found
    inside = home.inside(root.real_root)
    for mount in read_mounts() if mounts is None else mounts:
        if mount.device != home.device:
            continue
        down, up = below(inside, mount.root), below(mount.root, inside)
        if down is not None:
            found.setdefault(f"{mount.mount_point.rstrip('/')}/{down}".rstrip("/") or "/", "")
        elif up is not None:
            found.setdefault(mount.mount_point, up)
    return found


class Part(NamedTuple):
    """What the names below one directory of this process mean to a volume.

    ``place`` has no slash at its end; ``name`` is the volume's name of it, None: it is off the
    volume. ``inner``: it is mounted below another part, so it is not what its path says, and may
    be gone a moment later. ``device`` (st_dev): whatever has it is off the volume.
    """

    place: str
    name: str | None
    inner: bool = False
    device: int | None = None


def chart(
    root: VolumeRoot, mounts: Sequence[Mount], others: Iterable[VolumeRoot] = ()
) -> tuple[Part, ...]:
    """All parts, the longest place first. ``others`` are volumes in use beside it.

    What is mounted below the volume is off it if it is another file system, or shows another part
    of the same one. A network mount of the volume's own kind may show the volume once more, under
    a device of its own: unless one of ``others`` lies there, it keeps the name of its path.
    """
    found = appearances(root, mounts)
    parts = {
        place: Part(place, name, _enclosing(place, found) != "") for place, name in found.items()
    }
    home = root.mount
    if home is not UNSEEN:
        here = mount_of(root.real_root, mounts)  # it may have been mounted anew
        for mount in mounts:
            point = mount.mount_point
            above = _enclosing(point, found)
            if above and point not in found:
                if mount.device == home.device:
                    parts[point] = Part(point, None, inner=True)
                elif mount.device == here.device or may_be_one(mount, home):
                    name = f"{found[above]}/{below(point, above)}".lstrip("/")
                    parts[point] = Part(point, name, inner=True)
                else:
                    parts[point] = Part(point, None, inner=True, device=_st_dev(mount))
        for other in others:
            place, device = other.real_root, other.mount.device
            its_own = device not in (home.device, here.device)
            if its_own and _enclosing(place, found) and mount_of(place, mounts).device == device:
                parts[place] = Part(place, None, inner=True, device=other.device)
    longest = sorted(parts.values(), key=lambda part: len(part.place), reverse=True)
    return tuple(part._replace(place=part.place.rstrip("/")) for part in longest)


def _enclosing(path: str, places: Iterable[str]) -> str:
    """The longest of the places that the path is below; empty: none."""
    return max((place for place in places if below(path, place)), key=len, default="")


def _st_dev(mount: Mount) -> int | None:
    major, _, minor = mount.device.partition(":")
    try:
        return os.makedev(int(major), int(minor))
    except (ValueError, OverflowError):
        return None


def is_on(real: str, device: int) -> bool:
    """Whether what is about to be changed there, or the directory where it is about to be made,
    has that device. False for whatever can't be looked at."""
    try:
        return os.lstat(real).st_dev == device
    except FileNotFoundError:
        pass
    except OSError:
        return False
    try:
        return os.stat(real.rpartition("/")[0] or "/").st_dev == device
    except OSError:
        return False


def key_of(rest: str) -> str:
    """The name that leases are compared by; see ``paths.canonical.VolumePath``."""
    if rest.isascii():
        return rest
    import unicodedata

    return unicodedata.normalize("NFC", rest)
