"""What a beat checks besides its own write: that the log is still the one we knew. And whether
another process may go on beating.

A deleted control directory, a volume restored from a backup, a master that forgot its last
commits: then what this session believes to hold may be granted to others already.
"""

from __future__ import annotations

import errno

from volumelease.core import table
from volumelease.effects import CreateFile, ReadLink, SetCounter, Steps
from volumelease.errors import AuthorityUnreachable, VolumeFull, VolumeUnsuitable
from volumelease.wire.identity import decode_identity

from .layout import Layout
from .replica import Replica


def still_the_same_log(replica: Replica, identity_id: str) -> Steps[str]:
    """Why the log is not the one this session knew, or "". Reads the tail as well.

    Errors: ``OSError`` and ``AuthorityUnreachable`` when the volume does not answer: no verdict.
    """
    try:
        text: str = yield ReadLink(replica.layout.identity)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
            return "the volume's identity is gone"
        raise
    identity = decode_identity(text)
    if identity is None or identity.id != identity_id:
        return "the volume has another identity now"
    difference = yield from replica.trail.difference()
    if not difference:
        yield from replica.skip_ahead()
        yield from replica.catch_up()
    return difference


def ended(known: table.Session | None) -> str:
    """Why nobody can go on with the session of a dead process, as the log knows it, or ""."""
    if known is None:
        return "another session saw no beat of the predecessor and ended it"
    if known.facts.keeper:
        return "its container is gone, with everybody who used it"
    return ""


def create_heartbeat(layout: Layout, session: str, counter: int) -> Steps[None]:
    """Make the file that shows that session's beats. Errors: ``VolumeFull``,
    ``VolumeUnsuitable``, ``AuthorityUnreachable``."""
    path = layout.session(session)
    try:
        yield CreateFile(path)
    except OSError as error:
        if error.errno in (errno.EDQUOT, errno.ENOSPC):
            raise VolumeFull(f"{layout.root} is full: {error}", root=layout.root) from error
        if error.errno != errno.EEXIST:  # our own, resent
            raise no_heartbeat(layout, error) from error
    try:
        yield SetCounter(path, counter)
    except OSError as error:
        raise no_heartbeat(layout, error) from error


def no_heartbeat(layout: Layout, error: OSError) -> VolumeUnsuitable | AuthorityUnreachable:
    what = f"no heartbeat could be written under {layout.base}: {error}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return VolumeUnsuitable(
            what,
            advice="Mount the volume writable and run as a user who may write it",
            root=layout.root,
        )
    return AuthorityUnreachable(what, root=layout.root, seconds=0.0)
