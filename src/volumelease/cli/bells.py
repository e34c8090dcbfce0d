"""Which bell is in force on a volume, as far as this host can see."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from volumelease.settings import Settings

    from .reading import Picture

_SESSIONS_LOOKED_AT: Final = 8


def bell_in_force(
    root: str, picture: Picture, settings: Settings
) -> Literal["redis", "fcntl", "poll"]:
    """``redis`` if the configured one answers; ``fcntl`` if a live session is seen to hold its
    byte from here; else ``poll``. Limit: another worker may see it differently.

    Errors: ``SettingsInvalid``.
    """
    if _answers(settings):
        return "redis"
    if picture.identity.authority == "redis":
        return "poll"
    from .reading import patiently

    return "fcntl" if patiently(lambda: _locks_are_seen(root, picture), root) else "poll"


def _answers(settings: Settings) -> bool:
    from volumelease.authorities.redis.connecting import RedisWire

    wire = RedisWire.of(settings)
    if wire is None:
        return False
    try:
        client = wire.connect()
        client.ping()
        wire.close(client)
    except Exception:  # noqa: BLE001 - no module, no route, no password: no bell
        return False
    return True


def _locks_are_seen(root: str, picture: Picture) -> bool:
    from volumelease.authorities.volume.layout import Layout
    from volumelease.bells.lockfile import byte_of, lock_file

    layout = Layout.of(root, picture.identity)
    if not os.path.exists(layout.locks):  # status makes nothing
        return False
    file = lock_file(picture.identity.id, layout.locks, "")
    with suppress(OSError):
        file.open()
        sessions = islice(picture.table.sessions, _SESSIONS_LOOKED_AT)
        return any(not file.is_free(byte_of(session)) for session in sessions)
    return False
