"""How a directory becomes a volume: its identity is elected by one symlink.

Everything an identity needs is made before it is elected, so whoever finds an identity finds its
log. Of several founders one wins; the others remove what they prepared.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import Final, NamedTuple

from volumelease.core.records import FORMAT_VERSION, SEGMENT_ENTRIES
from volumelease.core.table import Table
from volumelease.effects import (
    ListDirectory,
    MakeDirectory,
    ReadFile,
    ReadLink,
    RemoveDirectory,
    Sleep,
    Steps,
    Symlink,
    Unlink,
)
from volumelease.errors import (
    AuthorityUnreachable,
    LogDamaged,
    SettingsMismatch,
    VolumeFull,
    VolumeUnsuitable,
)
from volumelease.wire import snapshots
from volumelease.wire.identity import Identity, decode_identity, encode_identity

from .layout import (
    CONTROL,
    FIRST_SEGMENT,
    FOLDERS,
    SETTLED,
    Layout,
    identity_name,
    number_of,
)

DEFAULT_TTL_SECONDS: Final = 15.0
_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.05


class Founding(NamedTuple):
    """What a founder wants the volume to be, should it win."""

    id: str
    ttl: float
    created: float
    ready: bool
    """The first log grants at once. Only for a volume that a person says is new: leases of an
    older log that was deleted can't be seen. Otherwise the log starts in grace."""


def read_identity(root: str) -> Steps[Identity | None]:
    """The identity of the volume at ``root``, or None if it has none yet.

    Errors: ``VolumeUnsuitable``, ``LogDamaged``, ``SettingsMismatch`` (a newer format),
    ``AuthorityUnreachable``.
    """
    found: Identity | None = None
    while True:
        era = 0 if found is None else found.era + 1
        known = yield from _read_era(root, era)
        if known is None:
            return found
        found = known


def _read_era(root: str, era: int) -> Steps[Identity | None]:
    path = f"{root}/{CONTROL}/{identity_name(era)}"
    try:
        text: str = yield ReadLink(path)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        if error.errno != errno.EINVAL:
            raise _refusal(root, error) from error
        text = yield from _file_at(root, path)  # of a volume whose authority is not its log
    identity = decode_identity(text)
    if identity is None or (identity.era != era and identity.format <= FORMAT_VERSION):
        raise LogDamaged(f"{path} holds no identity: {text[:80]!r}", where=path)
    if identity.format > FORMAT_VERSION:
        raise SettingsMismatch(
            f"the volume {root} has format {identity.format}, "
            f"this version of volumelease reads up to {FORMAT_VERSION}",
            advice="Upgrade volumelease here: pip install -U volumelease",
            setting="format",
            ours=FORMAT_VERSION,
            theirs=identity.format,
        )
    return identity


def _file_at(root: str, path: str) -> Steps[str]:
    """Whoever makes it creates it first and writes it then."""
    content = b""
    for _ in range(_TRIES):
        try:
            content = yield ReadFile(path)
        except OSError as error:
            raise _refusal(root, error) from error
        if content:
            break
        yield Sleep(_PAUSE_SECONDS)
    return content.decode(errors="replace").strip()


def found(root: str, founding: Founding) -> Steps[tuple[Identity, bool]]:
    """Make ``root`` a volume, unless it is one. Returns its identity and whether it is ours.

    Errors: as ``read_identity``, and ``VolumeFull``.
    """
    existing = yield from read_identity(root)
    if existing is not None:
        return existing, False
    layout = Layout.first(root, founding.id)
    yield from _prepare(layout, ready=founding.ready)
    identity = Identity(
        FORMAT_VERSION, founding.id, "volume", founding.ttl, round(founding.created, 3)
    )
    elected: Identity | None = None
    trouble: OSError | None = None
    for _ in range(_TRIES):
        try:
            yield Symlink(encode_identity(identity), layout.identity)
        except OSError as error:  # unknown, EEXIST too: read it back
            trouble = error.with_traceback(None)
        elected = yield from read_identity(root)
        if elected is not None:
            break
        yield Sleep(_PAUSE_SECONDS)
    if elected is None:
        raise _refusal(root, trouble or OSError(errno.EIO, "the identity can't be read back"))
    if elected.id == founding.id:
        yield from _complete(layout, ready=founding.ready)
        elected = yield from _still_elected(root)
    if elected.id != founding.id:
        yield from remove_tree(layout.base)
        return elected, False
    return elected, True


def _still_elected(root: str) -> Steps[Identity]:
    """Whose volume it is once everything was completed. Meanwhile somebody may have deleted it all,
    and another founder been elected: what was completed then is a log that grants at once, of
    which nobody else knows."""
    identity = yield from read_identity(root)
    if identity is None:
        raise AuthorityUnreachable(
            f"somebody deleted {root}/{CONTROL} while it was made", root=root, seconds=0.0
        )
    return identity


def _complete(layout: Layout, *, ready: bool) -> Steps[None]:
    """Make again what was lost of it before the election: a master that crashed may have
    forgotten some. If nothing is left of the first segment, somebody may have deleted a log that
    was in use already: then the new one starts in grace."""
    found = False
    for name in ("s0", "s1"):
        with suppress(OSError):
            yield ReadLink(f"{layout.segment(FIRST_SEGMENT)}/{name}")
            found = True
    yield from _prepare(layout, ready=ready and found)


def _prepare(layout: Layout, *, ready: bool) -> Steps[None]:
    """Make everything that an identity needs, as far as it isn't there."""
    yield from _begin(layout, FIRST_SEGMENT, ready=ready)


def _begin(layout: Layout, name: str, *, ready: bool) -> Steps[None]:
    folders = map(layout.folder, FOLDERS)
    for folder in dict.fromkeys((layout.control, layout.base, layout.trunk, *folders)):
        yield from _insist(layout.root, MakeDirectory(folder))
    first = layout.segment(name)
    yield from _insist(layout.root, MakeDirectory(first))
    table = Table(grace=not ready)
    for number, target in enumerate(snapshots.encode_snapshot(table, number_of(name))):
        yield from _insist(layout.root, Symlink(target, f"{first}/s{number}"))


def prepare_later_log(layout: Layout, above: int) -> Steps[None]:
    """Make a log that begins with a later era: in grace, and all its tokens are larger than
    ``above``. Nobody knows of it before an identity names it. Errors: as ``found``."""
    segment = f"{above // SEGMENT_ENTRIES + 1}-0"
    yield from _begin(layout, segment, ready=False)
    yield from _insist(layout.root, Symlink("made so", f"{layout.segment(segment)}/{SETTLED}"))


def succeed(root: str, identity: Identity) -> Steps[Identity]:
    """Begin an era, unless another one began it. Returns the identity that the volume has now.
    Errors: as ``read_identity``."""
    trouble: OSError | None = None
    for _ in range(_TRIES):
        try:
            yield Symlink(
                encode_identity(identity), f"{root}/{CONTROL}/{identity_name(identity.era)}"
            )
        except OSError as error:  # unknown, EEXIST too: read it back
            trouble = error.with_traceback(None)
        elected = yield from read_identity(root)
        if elected is not None and elected.era >= identity.era:
            return elected
        yield Sleep(_PAUSE_SECONDS)
    raise _refusal(root, trouble or OSError(errno.EIO, "the identity can't be read back"))


def remove_tree(folder: str) -> Steps[None]:
    """Remove a directory of ours and all below it. What is gone already is no error."""
    try:
        names: list[str] = yield ListDirectory(folder)
    except OSError as error:
        if error.errno == errno.ENOTDIR:
            yield from _unlink(folder)
        return
    for name in names:
        child = f"{folder}/{name}"
        try:
            yield ReadLink(child)
        except OSError as error:
            if error.errno == errno.EINVAL:
                yield from remove_tree(child)
            continue
        yield from _unlink(child)
    try:
        yield RemoveDirectory(folder)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _unlink(path: str) -> Steps[None]:
    try:
        yield Unlink(path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def _insist(root: str, effect: MakeDirectory | Symlink) -> Steps[None]:
    """Make something; that it exists already is fine: the control directory is shared by all
    founders, and everything else has a name that only we use."""
    trouble: OSError | None = None
    for _ in range(_TRIES):
        try:
            yield effect
        except OSError as error:
            if error.errno == errno.EEXIST:
                return
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
                raise _refusal(root, error) from error
            if error.errno in (errno.EDQUOT, errno.ENOSPC):
                raise VolumeFull(f"{root} is full: {error}", root=root) from error
            trouble = error.with_traceback(None)
            yield Sleep(_PAUSE_SECONDS)
        else:
            return
    assert trouble is not None
    raise _refusal(root, trouble)


def _refusal(root: str, error: OSError) -> VolumeUnsuitable | AuthorityUnreachable:
    if error.errno in (errno.ENOTDIR, errno.EINVAL):
        return VolumeUnsuitable(
            f"{root}/{CONTROL} is not the directory that volumelease made: {error}",
            advice=f"Move it away (mv {root}/{CONTROL} {root}/{CONTROL}.old) and try again",
            root=root,
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return VolumeUnsuitable(
            f"the volume {root} can't be written: {error}",
            advice="Mount it writable and run as a user who may write it",
            root=root,
        )
    return AuthorityUnreachable(
        f"the volume {root} does not answer: {error}", root=root, seconds=0.0
    )
