"""What a beat checks besides its own write: that the log is still the one we knew.

A deleted control directory, a volume restored from a backup, a master that forgot its last
commits: then what this session believes to hold may be granted to others already.
"""

from __future__ import annotations

import errno
from typing import Final

from volumelease.core.records import SEGMENT_ENTRIES
from volumelease.effects import ReadLink, Sleep, Steps
from volumelease.errors import AuthorityUnreachable, VolumeUnsuitable
from volumelease.wire.identity import decode_identity

from .layout import Layout
from .replica import Replica

_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.1


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
    known = replica.last
    yield from replica.skip_ahead()
    yield from replica.catch_up()
    if known is not None and known[1] and known != replica.last:
        # Reading on can step over a forgotten entry that others have written anew.
        found = yield from _entry(replica.layout, known[0])
        if found != known[1]:
            return f"entry {known[0]} of the log is not the one that was read before"
    for _ in range(_TRIES):
        last = replica.last
        if last is None:
            return ""
        found = yield from _entry(replica.layout, last[0])
        if found == last[1] or last != replica.last:
            return ""
        if found is not None and last[1]:
            return f"entry {last[0]} of the log is not the one that was read before"
        yield Sleep(_PAUSE_SECONDS)  # retired this moment, or an entry that is no symlink
        yield from replica.catch_up()
    if not replica.last or not replica.last[1]:
        return ""
    return f"entry {replica.last[0]} of the log is gone"


def _entry(layout: Layout, index: int) -> Steps[str | None]:
    segment, place = divmod(index, SEGMENT_ENTRIES)
    for folder in (layout.segment(segment), layout.retired(segment)):
        try:
            target: str = yield ReadLink(f"{folder}/{place}")
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
                raise
        else:
            return target
    return None


def no_heartbeat(layout: Layout, error: OSError) -> VolumeUnsuitable | AuthorityUnreachable:
    what = f"no heartbeat could be written under {layout.base}: {error}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return VolumeUnsuitable(
            what,
            advice="Mount the volume writable and run as a user who may write it",
            root=layout.root,
        )
    return AuthorityUnreachable(what, root=layout.root, seconds=0.0)
