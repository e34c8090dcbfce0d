"""The one name of a path on its volume, on every host and however it was reached.

Two names of one file that lead to two leases are two writers. So names are compared after the
kernel has followed them; and a file that shows up at several places through bind mounts is known
by its place in the file system itself (device, and the mount's own root), not by an inode: the
inode of the root is never met on the way up from a bind mount of a subdirectory, and every FUSE
mount has the same one (1).
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from volumelease.errors import PathInvalid, VolumeNotFound

from .locate import VolumeRoot
from .mounts import UNSEEN, mount_of, read_mounts
from .resolve import (
    CONTROL,
    MOST_LINKS,
    PUBLIC_SUFFIX,
    AnyPath,
    below,
    follow,
    glance,
    inside_control,
    is_version,
    private,
    resolve,
    text_of,
)


class VolumePath(NamedTuple):
    """A path relative to its volume, names separated by ``/``; ``""`` is the whole volume.

    ``display`` is for people and for opening files; ``key`` is what leases are compared by: NFC,
    because the same name typed on two systems may differ in form. Bytes that are no UTF-8 are
    surrogates (surrogateescape) in both.
    """

    display: str
    key: str


def canonical(path: AnyPath, volume: VolumeRoot) -> VolumePath:
    """The path's one name on ``volume``; the path need not exist yet.

    ``..``, ``.``, doubled slashes and symlinks mean what they mean to the kernel, relative paths
    start at the current directory. A published version, a directory of ours behind a symlink at
    its public place, goes by its public name however it was reached.

    Limits: true at the moment of the call, so resolve again once a lease is granted; a hard link
    is a name of its own. Errors: ``PathInvalid`` for what no path can be, for loops, for files
    used as directories and for what is ours in ``.volumelease``; ``VolumeNotFound`` for what
    leads out of the volume; ``AuthorityUnreachable``. Source: path_resolution(7).
    """
    text = text_of(path)
    found = glance(text)
    if found is not None:
        real, device = found
        rest = below(real, volume.real_root)
        same = device == volume.device and not volume.nested
        if rest is not None and same and CONTROL not in rest:
            return _volume_path(rest)
    else:
        real = follow(text).real
    rest = _on_volume(text, _public(text, real), volume)
    if inside_control(f"/{rest}") is not None:
        raise private(path, f"{volume.root}/{rest}")
    return _volume_path(rest)


def _volume_path(rest: str) -> VolumePath:
    if rest.isascii():
        return VolumePath(rest, rest)
    if sys.getfilesystemencoding() != "utf-8":
        # Two workers with two locales must come to one name.
        rest = os.fsencode(rest).decode("utf-8", "surrogateescape")
    import unicodedata

    return VolumePath(rest, unicodedata.normalize("NFC", rest))


def _on_volume(text: str, real: str, volume: VolumeRoot) -> str:
    """What is left of the real path below the volume, by their places in the file system."""
    home = volume.mount
    mount = UNSEEN if home is UNSEEN else mount_of(real, read_mounts())
    if mount is UNSEEN or home is UNSEEN:
        rest = below(real, volume.real_root)
    elif mount.device == home.device:
        rest = below(mount.inside(real), home.inside(volume.real_root))
    else:
        rest = None
    if rest is not None:
        return rest
    leads = "is" if text == real else f"leads to {real}, which is"
    if below(real, volume.real_root) is None:
        what = f"{text} {leads} outside the volume {volume.root}"
    else:
        what = f"{text} {leads} on another file system, mounted at {mount.mount_point}"
    raise VolumeNotFound(
        what,
        advice=f"Name a path on {volume.root}, or see to it that VOLUMELEASE_VOLUME names the "
        "volume you mean",
        path=text,
    )


# ---- published versions


def _public(text: str, real: str) -> str:
    """The real path, with every published version in it under its public name.

    The volume remembers that name beside the version, so that every way to one file leads to one
    name. It counts only if the link there still leads to the version: a directory above it may
    have been renamed, and what was public below the old name is leased by the new one. Else the
    link that ``text`` passed counts, where it is now.
    """
    for turn in range(MOST_LINKS):
        if inside_control(real) is None:
            return real
        version, rest = _version_in(text, real)
        place = _remembered(version)
        if place is not None:
            real = f"{place}/{rest}" if rest else place
        elif turn == 0:
            real = _by_the_door(text, version)
        else:
            raise private(text, version)
    raise PathInvalid(
        f"{text!r} is published below itself, over and over",
        advice="Publish it again at the place that you mean",
        path=text,
    )


def _by_the_door(text: str, version: str) -> str:
    """Where the link to a version lies that ``text`` passes now: it may have been replaced since
    it led to ``version``. Errors: ``PathInvalid`` where it passes none."""
    followed = follow(text)
    if inside_control(followed.real) is None:
        return followed.real
    rest = below(followed.real, followed.behind_door) if followed.door else None
    if rest is None:
        raise private(text, version)
    return f"{followed.door}/{rest}" if rest else followed.door


def _version_in(text: str, real: str) -> tuple[str, str]:
    """The version that a real path in a control directory is in, and what is left below it.
    Errors: ``PathInvalid`` for all else that is ours."""
    control = inside_control(real)
    assert control is not None
    root, names = control
    if not is_version(names[:3]):
        raise private(text, real)
    return "/".join((root.rstrip("/"), CONTROL, *names[:3])), "/".join(names[3:])


def _remembered(version: str) -> str | None:
    """The real path at which that version is public, if a link leads to it from there."""
    root = version.rpartition(f"/{CONTROL}/")[0]
    try:
        public = os.readlink(version + PUBLIC_SUFFIX)
        names = public.split("/")
        if {"", ".", ".."} & set(names):
            return None
        # Directories above it may have been moved and linked since.
        above = resolve("/".join((root, *names[:-1])) or "/").rstrip("/")
        place = f"{above}/{names[-1]}"
        leads_to = os.path.normpath(f"{above}/{os.readlink(place)}")
    except (OSError, PathInvalid):  # something else is there
        return None
    return place if leads_to == version else None
