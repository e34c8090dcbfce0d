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
    """The real path, with every published version in it under its public name."""
    for _ in range(MOST_LINKS):
        control = inside_control(real)
        if control is None:
            return real
        root, names = control
        if not is_version(names[:3]):
            raise private(text, real)
        version = "/".join((root.rstrip("/"), CONTROL, *names[:3]))
        real = "/".join((_place_of(text, version, root), *names[3:]))
    raise PathInvalid(
        f"{text!r} is published below itself, over and over",
        advice="Publish it again at the place that you mean",
        path=text,
    )


def _place_of(text: str, version: str, root: str) -> str:
    """The real path at which that version is public.

    The volume remembers it beside the version, so that every way to one file leads to one name,
    even after the public link was moved by hand. Where that is missing, the link itself counts.
    """
    try:
        public = os.readlink(version + PUBLIC_SUFFIX)
    except OSError:
        public = ""
    names = public.split("/")
    if not {"", ".", ".."} & set(names):
        # Directories above it may have been moved and linked since.
        return "/".join((resolve("/".join((root, *names[:-1]))).rstrip("/"), names[-1]))
    door = follow(text)
    if door.behind_door != version:
        raise private(text, version)
    return door.door
