"""Which bells the sessions of a volume are given."""

from __future__ import annotations

import sys
from typing import Final

from volumelease.authorities.volume.layout import Layout
from volumelease.bells.belfry import Belfry
from volumelease.bells.bytelocks import ByteBell
from volumelease.bells.ears import Ear
from volumelease.bells.lives import Lives
from volumelease.bells.lockfile import lock_file
from volumelease.bells.pubsub import RedisBell
from volumelease.bells.turnstile import Turnstile
from volumelease.settings import Settings

ALL_BELLS: Final = frozenset({"redis", "fcntl"})


class Bells:
    """The bells of one volume in this process. ``use``: those of ``ALL_BELLS`` that may be used;
    without ``fcntl`` there is no turnstile either."""

    def __init__(
        self, layout: Layout, boot_id: str, settings: Settings, use: frozenset[str]
    ) -> None:
        self._volume = layout.identity_id
        self._file = None
        if "fcntl" in use:
            self._file = lock_file(layout.identity_id, layout.locks, boot_id)
        self._wire = None
        if "redis" in use and settings.redis_url is not None:
            # Not above: a tenth of an import's time, for those who have a Redis.
            from volumelease.authorities.redis.connecting import RedisWire

            self._wire = RedisWire.of(settings)

    def of_session(self, session: str) -> Belfry | None:
        if self._file is None and self._wire is None:
            return None
        ear = Ear()
        redis = None
        if self._wire is not None:
            redis = RedisBell(self._wire, self._volume, session, ear)
        bytes_ = ByteBell(self._file, session, ear) if self._file is not None else None
        return Belfry(ear, bytes_, redis, report)

    def lives(self) -> Lives | None:
        return Lives(self._file) if self._file is not None else None

    def turnstile(self) -> Turnstile | None:
        return Turnstile(self._file) if self._file is not None else None


def report(text: str) -> None:
    if "logging" in sys.modules:  # who has not imported it reads no log
        import logging  # waits for a thread that is just importing it

        logging.getLogger("volumelease").info("%s", text)
