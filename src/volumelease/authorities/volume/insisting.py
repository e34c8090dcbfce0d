"""Calls on names that nobody else uses, repeated until their outcome is known.

Every error of a call leaves its outcome unknown: a mount sends a request again whose answer was
lost, and then answers EEXIST, or ENOENT, for what it did itself.
"""

from __future__ import annotations

import errno
from typing import Final

from volumelease.effects import Kind, LookAt, MakeDirectory, Rename, Sleep, Steps, Symlink, Unlink
from volumelease.errors import AuthorityUnreachable, LeaseError, VolumeFull, VolumeUnsuitable

TRIES: Final = 8
PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0
FULL: Final = frozenset({errno.EDQUOT, errno.ENOSPC})
FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


def pause(number: int) -> Sleep:
    """How long to wait after the ``number``-th try (from 0)."""
    return Sleep(min(PAUSE_SECONDS * 2**number, LONGEST_PAUSE_SECONDS))


def make(root: str, effect: MakeDirectory | Symlink) -> Steps[None]:
    """Make something under a name of our own: EEXIST can only be our own, resent.

    Errors: as ``refusal``.
    """
    trouble: OSError | None = None
    for number in range(TRIES):
        try:
            yield effect
        except OSError as error:
            if error.errno == errno.EEXIST:
                return
            trouble = error.with_traceback(None)
            if error.errno in FULL | FORBIDDEN | MISSING:
                break
            yield pause(number)
        else:
            return
    assert trouble is not None
    raise refusal(root, "prepare a draft", trouble)


def move(root: str, source: str, target: str) -> Steps[bool]:
    """Rename ``source`` to a name of our own. Returns whether it is there; False if neither the
    source nor the target exists. Errors: as ``refusal``."""
    trouble: OSError | None = None
    for number in range(TRIES):
        try:
            yield Rename(source, target)
        except OSError as error:
            trouble = error.with_traceback(None)
        else:
            return True
        if (yield from is_there(root, target)):
            return True
        if trouble.errno in MISSING and not (yield from is_there(root, source)):
            return False
        if trouble.errno in FULL | FORBIDDEN:
            break
        yield pause(number)
    assert trouble is not None
    raise refusal(root, f"move {source}", trouble)


def unlink(root: str, path: str) -> Steps[None]:
    """Have nothing at ``path``. Errors: as ``refusal``."""
    trouble: OSError | None = None
    for number in range(TRIES):
        try:
            yield Unlink(path)
        except OSError as error:
            if error.errno in MISSING:
                return
            trouble = error.with_traceback(None)
            if error.errno in FORBIDDEN:
                break
            yield pause(number)
        else:
            return
    assert trouble is not None
    raise refusal(root, f"remove {path}", trouble)


def kind_of(root: str, path: str) -> Steps[str]:
    """What is at ``path``, "" for nothing. Errors: ``AuthorityUnreachable``."""
    trouble: OSError | None = None
    for number in range(TRIES):
        try:
            kind: Kind = yield LookAt(path)
        except OSError as error:
            if error.errno in MISSING:
                return ""
            trouble = error.with_traceback(None)
            if error.errno in FORBIDDEN:
                break
            yield pause(number)
        else:
            return kind.name
    assert trouble is not None
    raise refusal(root, f"look at {path}", trouble)


def is_there(root: str, path: str) -> Steps[bool]:
    kind = yield from kind_of(root, path)
    return bool(kind)


def refusal(root: str, doing: str, error: OSError) -> LeaseError:
    """The error for a call of this session that failed for good."""
    if error.errno in FULL:
        return VolumeFull(
            f"could not {doing}: {root} is full or over its quota: {error}", root=root
        )
    if error.errno in FORBIDDEN:
        return VolumeUnsuitable(
            f"could not {doing}: {error}",
            advice="Run as a user who may write there, on a volume that is mounted writable",
            root=root,
        )
    return AuthorityUnreachable(f"could not {doing}: {error}", root=root, seconds=0.0)
