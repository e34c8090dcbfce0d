"""volumelease: leases on paths of a shared network volume.

    from volumelease import volume_lease

    with volume_lease("/runpod-volume/models/llama"):
        ...  # nobody else in the fleet holds this path, its parents or anything below

In an event loop, ``async with``. Tests need no volume: ``volumelease.testing``.

At most one live lease covers any path exclusively, across hosts, under crashes, pauses and
partitions. The limit: a lease excludes those who ask for one. From its first lease on, a process
is guarded: what it writes from Python on the volume needs a lease that covers it
(``VOLUMELEASE_GUARD``); a process that never asks for one is not stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from volumelease.errors import (
    AuthorityUnreachable,
    AuthorityUnsuitable,
    DaemonUnavailable,
    EnforcementMissing,
    LeaseDeadlock,
    LeaseError,
    LeaseLost,
    LeaseTimeout,
    LeaseViolation,
    LogDamaged,
    PathInvalid,
    PublishFailed,
    SettingsInvalid,
    SettingsMismatch,
    VolumeFull,
    VolumeNotFound,
    VolumeUnsuitable,
)
from volumelease.leases.asking import volume_lease
from volumelease.leases.lease import Lease

if TYPE_CHECKING:
    from volumelease.leases.populating import populate

__version__ = "0.1.0"

__all__ = [
    "AuthorityUnreachable",
    "AuthorityUnsuitable",
    "DaemonUnavailable",
    "EnforcementMissing",
    "Lease",
    "LeaseDeadlock",
    "LeaseError",
    "LeaseLost",
    "LeaseTimeout",
    "LeaseViolation",
    "LogDamaged",
    "PathInvalid",
    "PublishFailed",
    "SettingsInvalid",
    "SettingsMismatch",
    "VolumeFull",
    "VolumeNotFound",
    "VolumeUnsuitable",
    "populate",
    "volume_lease",
]


def __getattr__(name: str) -> Any:
    """``populate`` loads when it is first used: a lease does not need what it takes."""
    if name != "populate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from volumelease.leases.populating import populate

    return populate
