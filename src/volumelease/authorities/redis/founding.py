"""How a directory becomes a volume whose leases a Redis keeps: its identity is a file, made once.

An exclusive create is all that is asked of the mount, so this works where the log can't live. All
workers read the file and agree by it; which Redis it is, their settings say.
"""

from __future__ import annotations

import errno
from typing import Final

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.founding import Founding
from volumelease.authorities.volume.layout import Layout
from volumelease.core.records import FORMAT_VERSION
from volumelease.effects import (
    CallScript,
    MakeDirectory,
    RemoveDirectory,
    Sleep,
    Steps,
    WriteNew,
)
from volumelease.errors import (
    AuthorityUnreachable,
    LogDamaged,
    VolumeFull,
    VolumeUnsuitable,
)
from volumelease.wire.identity import Identity, encode_identity

from .calling import state_key

FOLDERS: Final = ("stage", "versions", "audit")
_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.05


def found(root: str, wanted: Founding) -> Steps[tuple[Identity, bool]]:
    """Make ``root`` a volume whose authority is a Redis, unless it is a volume. Returns its
    identity and whether it is ours.

    Errors: as ``founding.read_identity``, and ``VolumeFull``.
    """
    existing = yield from _read(root)
    if existing is not None:
        return existing, False
    layout = Layout.first(root, wanted.id)
    for folder in ("", *FOLDERS):
        if not folder:
            yield from _make(root, layout.control)
        yield from _make(root, layout.folder(folder).rstrip("/"))
    identity = Identity(FORMAT_VERSION, wanted.id, "redis", wanted.ttl, round(wanted.created, 3))
    trouble: OSError | None = None
    for _ in range(_TRIES):
        try:
            yield WriteNew(layout.identity, encode_identity(identity).encode() + b"\n")
        except OSError as error:  # unknown, EEXIST too: read it back
            trouble = error.with_traceback(None)
        elected = yield from _read(root)
        if elected is not None:
            if elected.id != wanted.id:
                yield from _remove(layout)
            return elected, elected.id == wanted.id
        yield Sleep(_PAUSE_SECONDS)
    assert trouble is not None
    raise _refusal(root, trouble)


def begin(identity_id: str, nonce: str) -> Steps[None]:
    """Let the first lease of a volume that a person says is new be granted at once. ``nonce`` is
    used for nothing else. Errors: those of ``CallScript``."""
    key, head = state_key(identity_id), (0, nonce, "", "0")
    reply: list[bytes] = yield CallScript("found", key, head)
    if reply[0] == b"founded":
        yield CallScript("found", key, (*head, nonce))


def _read(root: str) -> Steps[Identity | None]:
    try:
        return (yield from founding.read_identity(root))
    except LogDamaged as error:
        raise LogDamaged(
            error.what,
            advice="If nobody is just making this volume, whoever did was interrupted: remove that "
            "file, and try again",
            where=error.facts["where"],
        ) from error


def _make(root: str, path: str) -> Steps[None]:
    try:
        yield MakeDirectory(path)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise _refusal(root, error) from error


def _remove(layout: Layout) -> Steps[None]:
    for path in (*map(layout.folder, FOLDERS), layout.base):
        try:
            yield RemoveDirectory(path)
        except OSError:
            continue


def _refusal(root: str, error: OSError) -> Exception:
    if error.errno in (errno.EDQUOT, errno.ENOSPC):
        return VolumeFull(f"{root} is full: {error}", root=root)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
        return VolumeUnsuitable(
            f"the volume {root} can't be written: {error}",
            advice="Mount it writable and run as a user who may write it",
            root=root,
        )
    return AuthorityUnreachable(
        f"the volume {root} does not answer: {error}", root=root, seconds=0.0
    )
