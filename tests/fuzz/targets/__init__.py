"""What is fuzzed, by name."""

from __future__ import annotations

from typing import Final

from tests.fuzz.target import Target

from . import log, notes, on_redis, settings, sockets, table

TARGETS: Final[dict[str, Target]] = {
    one.TARGET.name: one.TARGET for one in (log, table, notes, on_redis, sockets, settings)
}
