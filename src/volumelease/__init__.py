"""volumelease: leases on paths of a shared network volume.

    from volumelease import volume_lease

    with volume_lease("/runpod-volume/models/llama"):
        ...  # nobody else in the fleet holds this path, its parents or anything below

In an event loop, ``async with``. Tests need no volume: ``volumelease.testing``.

At most one live lease covers any path exclusively, across hosts, under crashes, pauses and
partitions. The limit: a lease excludes those who ask for one; a process that writes in place
without a lease is not stopped.
"""

from volumelease.errors import (
    AuthorityUnreachable,
    DaemonUnavailable,
    LeaseDeadlock,
    LeaseError,
    LeaseLost,
    LeaseTimeout,
    LeaseViolation,
    LogDamaged,
    PathInvalid,
    SettingsInvalid,
    SettingsMismatch,
    VolumeFull,
    VolumeNotFound,
    VolumeUnsuitable,
)
from volumelease.leases.asking import volume_lease
from volumelease.leases.lease import Lease

__version__ = "0.1.0"

__all__ = [
    "AuthorityUnreachable",
    "DaemonUnavailable",
    "Lease",
    "LeaseDeadlock",
    "LeaseError",
    "LeaseLost",
    "LeaseTimeout",
    "LeaseViolation",
    "LogDamaged",
    "PathInvalid",
    "SettingsInvalid",
    "SettingsMismatch",
    "VolumeFull",
    "VolumeNotFound",
    "VolumeUnsuitable",
    "volume_lease",
]
