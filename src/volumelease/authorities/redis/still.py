"""What a beat looks at on the volume itself: that it is still the one this session belongs to.

The identity of a volume whose leases a Redis keeps is a file, made once (O_EXCL). If it is gone or
another one, whoever comes next asks another authority, so what this session holds means nothing.
"""

from __future__ import annotations

import errno

from volumelease.authorities.volume import founding
from volumelease.effects import Steps
from volumelease.errors import LogDamaged, SettingsMismatch, VolumeUnsuitable


def still_this_volume(root: str, identity_id: str) -> Steps[str]:
    """Why it is not, or "". A volume that does not answer, or only in parts, gives no verdict: the
    lease is the Redis's, and the file was made once."""
    try:
        identity = yield from founding.read_identity(root)
    except VolumeUnsuitable as error:
        cause = error.__cause__
        gone = isinstance(cause, OSError) and cause.errno == errno.ENOTDIR
        return "the volume's identity is gone" if gone else ""
    except (LogDamaged, SettingsMismatch):
        return "the volume has another identity now"
    except ConnectionError:  # AuthorityUnreachable
        return ""
    if identity is None:
        return "the volume's identity is gone"
    if identity.id != identity_id or identity.authority != "redis":
        return "the volume has another identity now"
    return ""
