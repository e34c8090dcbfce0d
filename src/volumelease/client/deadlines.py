"""A client's view of the page of deadlines (``wire.slots``)."""

from __future__ import annotations

import mmap
from typing import Any, Self

from volumelease.errors import DaemonUnavailable
from volumelease.wire import slots
from volumelease.wire.fields import take


class Deadlines:
    """One slot of the page. A read costs less than a microsecond and asks nobody.

    Limit: boottime of this very machine and time namespace. Errors, when it is opened:
    ``DaemonUnavailable``.
    """

    def __init__(self, path: str, slot: int, tag: int) -> None:
        try:
            with open(path, "rb") as file:
                self._memory = mmap.mmap(file.fileno(), slots.PAGE_BYTES, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DaemonUnavailable(
                f"the daemon's page of deadlines, {path}, can't be read: {error}",
                advice="Let this process see the directory of the daemon's socket as the daemon "
                "does",
                socket=path,
                root=None,
                seconds=0.0,
            ) from None
        self._tag = slots.encode_count(tag)
        self._tag_at = slots.tag_at(slot)
        self._begins = slots.begins_at(slot)
        self._alarms = slots.alarms_at(slot)

    @classmethod
    def told(cls, about: dict[str, Any]) -> Self:
        """As a daemon's answer to ``attach`` says. Errors: also ``Malformed``."""
        return cls(take(about, "page", str), take(about, "slot", int), take(about, "tag", int))

    def deadline(self) -> float:
        """Boottime up to which the session may be assumed."""
        shown = self._memory[self._begins : self._begins + 8]
        if self._memory[self._tag_at : self._tag_at + 8] != self._tag:
            return slots.LOST  # the slot is another session's
        return slots.decode_seconds(shown)

    def alarms(self) -> int:
        """Grows when a lease of the session was lost and the session was not."""
        return slots.decode_count(self._memory[self._alarms : self._alarms + 8])
