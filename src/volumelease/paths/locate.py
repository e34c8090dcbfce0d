"""Which volume a path is on."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, NoReturn

from volumelease.errors import AuthorityUnreachable, VolumeNotFound, VolumeUnsuitable

from .mounts import UNSEEN, Mount, mount_of, read_mounts
from .resolve import CONTROL, AnyPath, below, inside_control, resolve, text_of

PLATFORM_MOUNT: Final = "/runpod-volume"
"""Where the platform mounts a worker's volume. Without a mount there, it is a directory of the
container that no other worker sees: the one thing never to be taken for a volume."""

CANDIDATES: Final = (PLATFORM_MOUNT, "/workspace")

BENCH_PREFIX: Final = ".volumelease-bench-"
DEMO_PREFIX: Final = "volumelease-demo-"
_OF_A_RUN: Final = re.compile(
    rf"({re.escape(BENCH_PREFIX)}[0-9a-f]{{16}}|{DEMO_PREFIX}[0-9a-f]{{8}})"
)
"""Directories that ``bench`` and ``demo`` make and remove, each with a volume of its own: nobody
else leases what is in there, so it may lie on a volume."""


_IDENTITY: Final = "identity"
_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP})


class VolumeRoot(NamedTuple):
    """A volume as this process sees it, found once; ``canonical`` takes it for every path of it.

    ``root`` is the name of its directory as the user, the mount or the search gave it, for
    people; ``real_root`` is free of links. ``initialised`` says that it holds a control
    directory. ``device`` (st_dev) and ``nested`` (mount points below it) let ``canonical`` see
    without a question when a path is not on it after all; ``device`` None: ask every time.

    Limit: a picture of one moment. What is mounted below it later is noticed when it has another
    device; a bind mount of the volume into itself is not.
    """

    root: str
    real_root: str
    mount: Mount
    initialised: bool
    device: int | None = None
    nested: tuple[str, ...] = ()


def locate(
    path: AnyPath,
    *,
    explicit: str | None,
    candidates: Sequence[str] = CANDIDATES,
    platform_mount: str = PLATFORM_MOUNT,
    mounts: Sequence[Mount] | None = None,
) -> VolumeRoot:
    """The volume of ``path``, which need not exist yet.

    ``explicit`` (VOLUMELEASE_VOLUME) if given: whether the path is on it, ``canonical`` says.
    Else the nearest directory above the real path that holds ``.volumelease/``, on the same file
    system: a volume further up on another one is not where other hosts look for leases on this
    path. Else that of ``candidates`` which contains the path and is a mount. ``mounts`` are this
    process's if left out. A volume inside a volume is refused, see ``refuse_nested``.

    Limit: it asks the file system about every directory above the path, which costs 0.1 ms each
    on MooseFS; keep what it finds. Errors: ``VolumeNotFound``; ``VolumeUnsuitable`` when
    something else is named ``.volumelease``, and for a volume inside a volume; ``PathInvalid``,
    ``AuthorityUnreachable``.
    """
    seen = tuple(read_mounts() if mounts is None else mounts)
    text = text_of(path)
    if explicit:
        return _explicit(explicit, platform_mount, seen)
    real = resolve(text)
    control = inside_control(real)
    start = real if control is None else control[0]
    mount = mount_of(start, seen)
    for directory in _upwards(start):
        if mount_of(directory, seen).device != mount.device:
            break
        if _holds_control(directory):
            # An empty one may have come with a copy of files: then the volume is further up.
            around = None if _is_volume(directory) else _volume_around(directory, seen)
            return _root(around or directory, around or directory, True, seen)
    for candidate in candidates:
        top = resolve(candidate)
        if below(start, top) is None:
            continue
        if not _is_mount(top, seen):
            raise _not_a_mount(candidate, text)
        if mount_of(top, seen).device == mount.device:
            return _root(candidate, top, False, seen)
    _lost(text, real, mount)


def _explicit(explicit: str, platform_mount: str, seen: tuple[Mount, ...]) -> VolumeRoot:
    root = os.path.abspath(text_of(explicit))
    real = resolve(root)
    if inside_control(real) is not None:
        raise VolumeUnsuitable(
            f"VOLUMELEASE_VOLUME={explicit} leads into {real}, which belongs to volumelease",
            advice="Name the volume's own directory",
            root=explicit,
            fstype=mount_of(real, seen).fstype,
        )
    if not os.path.isdir(real):
        raise VolumeNotFound(
            f"VOLUMELEASE_VOLUME={explicit} is no directory",
            advice="Set it to the directory at which the volume is mounted, or unset it",
            path=explicit,
        )
    initialised = _holds_control(real)
    top = resolve(platform_mount)
    mounted = below(mount_of(real, seen).mount_point, top) is not None
    if not initialised and not mounted and below(real, top) is not None:
        raise _not_a_mount(platform_mount, explicit)
    return _root(root, real, initialised, seen)


def _root(shown: str, real: str, initialised: bool, seen: tuple[Mount, ...]) -> VolumeRoot:
    try:
        device = os.stat(real).st_dev
    except OSError as error:
        _unanswered(real, error)
    nested = tuple(mount.mount_point for mount in seen if below(mount.mount_point, real))
    initialised = initialised or _holds_control(real)
    root = VolumeRoot(shown, real, mount_of(real, seen), initialised, device, nested)
    refuse_nested(root, seen)
    return root


def refuse_nested(root: VolumeRoot, mounts: Sequence[Mount] | None = None) -> None:
    """Refuse a volume, or what is about to be made one, that lies on another volume: who leases
    a path of the inner one, and who leases all of the outer one, would not know of each other.

    A volume counts that has an identity, above it in the same file system, whatever mount shows
    it; one of another file system does not. It asks about every directory between the root and
    the top of its file system: none, where the volume is a mount of its own.

    Limit: what no mount of this process shows is not seen, as where a container is given one
    directory of a volume; nor is an outer volume that is made while this one is in use, before
    it is looked for again. Errors: ``VolumeUnsuitable``, ``AuthorityUnreachable``.
    """
    real, shown = root.real_root, root.root
    outer = _volume_around(real, read_mounts() if mounts is None else mounts)
    if outer is None:
        return
    advice = (
        f"Lease paths below {shown} as they are: set VOLUMELEASE_VOLUME to {outer}, or unset it"
    )
    if _is_volume(real):
        advice = (
            f"Keep one of the two. Stop the workers, then volumelease uninstall {shown} (or "
            f"{outer}); if {shown} is one because its files were copied from a volume: mv "
            f"{real}/{CONTROL} {real}/{CONTROL}.old"
        )
    raise VolumeUnsuitable(
        f"{shown} is on the volume {outer}, and a volume inside a volume would not respect its "
        "leases",
        advice=advice,
        root=shown,
        fstype=root.mount.fstype,
    )


def _volume_around(real: str, seen: Sequence[Mount]) -> str | None:
    """The nearest volume above that directory, in the same file system."""
    for directory in _around(real, seen):
        if _is_volume(directory):
            rest = below(real, directory) or ""
            if not any(map(_OF_A_RUN.fullmatch, rest.split("/"))):
                return directory
    return None


def _around(real: str, seen: Sequence[Mount]) -> Iterator[str]:
    """The directories above that one in its file system, by a name that leads there."""
    home = mount_of(real, seen)
    if home is UNSEEN:  # then a device tells, as far as it can
        yield from (upper for upper in _above(real) if _device(upper) == _device(real))
        return
    for place in _above(home.inside(real)):
        for mount in (home, *seen):
            rest = below(place, mount.root)
            if mount.device == home.device and rest is not None:
                name = f"{mount.mount_point.rstrip('/')}/{rest}".rstrip("/") or "/"
                if mount_of(name, seen) == mount:  # no other mount hides it
                    yield name
                    break


def _above(path: str) -> list[str]:
    return list(_upwards(path))[1:]


def _device(directory: str) -> int | None:
    try:
        return os.stat(directory).st_dev
    except OSError:
        return None


def _upwards(path: str) -> Iterator[str]:
    while path != "/":
        yield path
        path = path.rpartition("/")[0] or "/"
    yield path


def _is_mount(directory: str, seen: tuple[Mount, ...]) -> bool:
    mount = mount_of(directory, seen)
    return mount is not UNSEEN and mount.mount_point == directory


def _is_volume(directory: str) -> bool:
    """Whether it has an identity. A control directory alone is none: it may be empty, or of a
    volume that is being made. One that may not be searched counts, for nobody can tell."""
    control = f"{directory.rstrip('/')}/{CONTROL}"
    try:
        if not stat.S_ISDIR(os.lstat(control).st_mode):
            return False
    except PermissionError:  # by a mount whose directories are closed to us
        return False
    except OSError as error:
        return _is_there(directory, error)
    try:
        os.lstat(f"{control}/{_IDENTITY}")
    except PermissionError:
        return True
    except OSError as error:
        return _is_there(directory, error)
    return True


def _is_there(directory: str, error: OSError) -> bool:
    """False for an error that says no. Errors: ``AuthorityUnreachable``."""
    if error.errno in _MISSING:
        return False
    _unanswered(directory, error)


def _holds_control(directory: str) -> bool:
    control = f"{directory.rstrip('/')}/{CONTROL}"
    try:
        mode = os.lstat(control).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError as error:
        raise VolumeUnsuitable(
            f"{control} can't be looked at: {error}",
            advice=f"Run as a user who may search {directory}",
            root=directory,
            fstype="",
        ) from error
    except OSError as error:
        _unanswered(directory, error)
    if not stat.S_ISDIR(mode):
        kind = "a symlink" if stat.S_ISLNK(mode) else "no directory"
        raise VolumeUnsuitable(
            f"{control} is {kind}, so {directory} can't be told to be a volume or not",
            advice=f"Move it away: mv {control} {control}.old",
            root=directory,
            fstype="",
        )
    return True


def _unanswered(directory: str, error: OSError) -> NoReturn:
    raise AuthorityUnreachable(
        f"{directory} does not answer: {error}", root=directory, seconds=0.0
    ) from error


def _not_a_mount(directory: str, path: str) -> VolumeNotFound:
    return VolumeNotFound(
        f"{path} is on no volume: {directory} is no mount, so no network volume is attached here",
        advice="Attach a network volume to the endpoint or Pod, or make the directory a local "
        f"volume of this host: volumelease init {directory}",
        path=path,
    )


def _lost(path: str, real: str, mount: Mount) -> NoReturn:
    leads = "" if real == path else f" (it leads to {real})"
    where = f" on {mount.fstype} at {mount.mount_point}" if mount is not UNSEEN else ""
    raise VolumeNotFound(f"no volume holds {path}{leads}{where}", path=path)
