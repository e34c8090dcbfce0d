"""What can go wrong, in the words of the user it happens to.

Every error carries its facts as attributes, survives pickling, subclasses the builtin that a
caller would catch, and ends with what to do next (``advice``).
"""

from __future__ import annotations

import errno
from typing import Any


def _rebuild(kind: type[LeaseError], message: str, facts: dict[str, Any]) -> LeaseError:
    return kind(message, **facts)


class LeaseError(Exception):
    """The base of every error of this package.

    ``what`` says what went wrong, ``advice`` what to do about it, ``facts`` holds the values
    that both speak of; each fact is an attribute too.
    """

    advice: str = ""

    def __init__(self, what: str, *, advice: str = "", **facts: Any) -> None:
        advice = advice or type(self).advice
        super().__init__(f"{what}. {advice}" if advice else what)
        self.what = what
        self.advice = advice
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.what, {"advice": self.advice, **self.facts}))


class LeaseTimeout(LeaseError, TimeoutError):
    """The paths stayed leased to somebody else until the caller's deadline; nothing is held.

    Facts: ``path``, ``holder``, ``token`` and ``since`` of one lease in the way, ``waited``
    (seconds).
    """

    advice = "Wait longer (timeout=), or see who holds it: volumelease status"


class LeaseLost(LeaseError, RuntimeError):
    """The lease may belong to somebody else by now.

    Raised at the next check, publish or guarded write, and at the end of the ``with`` block,
    after the holder could no longer assume that it holds the lease. Limit: work done in place
    between the loss and this error is not undone. Facts: ``path``, ``token``, ``reason``.
    """

    advice = "Take the lease again and repeat the work; what was not published is not visible"


class LeaseViolation(LeaseError, PermissionError):
    """A write that no live, exclusive lease of this process covers; nothing was changed.

    Facts: ``path``, ``holder``; of a write that the guard refused also ``token`` and ``since`` of
    that holder's lease.
    """

    def __init__(self, what: str, *, advice: str = "", **facts: Any) -> None:
        super().__init__(what, advice=advice, **facts)
        self.errno = errno.EACCES
        self.filename = facts.get("path")


class EnforcementMissing(LeaseError, OSError):
    """This kernel or container can't keep a program to what is leased, and that was required.

    Facts: ``level``, ``reason``.
    """

    advice = "Leave require away to run it at a lower level; see what works: volumelease doctor"


class LeaseDeadlock(LeaseError, RuntimeError):
    """Waiting would never end: the owners in ``cycle`` wait for each other.

    The youngest request of the cycle gets this error; what its owner already holds stays held.
    Facts: ``path``, ``holder``, ``cycle`` (tokens).
    """

    advice = "Release what you hold and take all paths in one volume_lease(...) call"


class VolumeNotFound(LeaseError, FileNotFoundError):
    """No volume holds the path. Facts: ``path``."""

    advice = "Attach a network volume, or make a local directory one: volumelease init DIR"


class PathInvalid(LeaseError, ValueError):
    """The path can't be leased. Facts: ``path``."""


class VolumeUnsuitable(LeaseError, OSError):
    """The mount can't carry leases: refused by name, read-only, or not permitted.

    Facts: ``root``, ``fstype``.
    """


class PublishFailed(LeaseError, OSError):
    """A draft did not become visible; what was public before still is.

    Facts: ``path``, and ``kept``: where the draft is now, or None if it was removed.
    """


class VolumeFull(LeaseError, OSError):
    """The volume or its quota is full, so the request, or the draft, could not be written down.

    Limit: releases still come through (they use spare entries kept for it). Facts: ``root``.
    """

    advice = "Free space or files on the volume, or raise its size; leases held stay held"


class LogDamaged(LeaseError, RuntimeError):
    """The volume's log says something that its rules exclude; nothing is granted from it.

    Facts: ``where``.
    """

    advice = "Stop the workers and run: volumelease verify"


class AuthorityUnreachable(LeaseError, ConnectionError):
    """The volume (or Redis) did not answer in time; the outcome of the call is unknown.

    Limit: a request that was under way may still land; the session gives it back when it sees
    it. Facts: ``root``, ``seconds``; of a Redis ``redis`` (its address, without a password) and
    ``code``.
    """

    advice = "Check the mount: volumelease doctor"


class AuthorityMoved(AuthorityUnreachable):
    """The leases of the volume are on their way to another authority, and nobody has finished that.

    Facts: ``root``, ``seconds``, ``authority`` (the one that is to grant them).
    """

    advice = "Finish it: volumelease migrate"


class AuthorityUnsuitable(LeaseError, OSError):
    """Redis answered, and can't carry leases as it is: the password, a permission, its role, its
    version, its memory. Trying again is of no use until somebody changes that.

    Facts: ``redis`` (its address, without a password), ``code``: Redis's word for it (``NOPERM``,
    ``READONLY``, ``OOM`` ...).
    """

    advice = "See what it lacks: volumelease doctor --redis"


class SettingsMismatch(LeaseError, ValueError):
    """This process and the volume's identity disagree. Facts: ``setting``, ``ours``, ``theirs``."""


class SettingsInvalid(LeaseError, ValueError):
    """A setting has an unknown name or a bad value. Facts: ``setting``, ``value``."""


class DaemonUnavailable(AuthorityUnreachable):
    """The daemon's socket exists and nobody answers on it. Facts: ``socket``."""

    advice = "Start it (volumelease daemon), or remove the socket to work without it"
