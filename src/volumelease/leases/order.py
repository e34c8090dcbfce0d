"""What a user asks for, before anything is known about it."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple

from volumelease.model import Client

AnyPath = str | bytes | os.PathLike[Any]
Mode = Literal["exclusive", "shared"]
OnLost = Literal["raise", "signal", "ignore"]


class Order(NamedTuple):
    """What a user asks for with ``volume_lease(...)``."""

    paths: tuple[AnyPath, ...]
    shared: bool
    timeout: float | None
    on_lost: OnLost
    reason: str
    client: Client | None

    @property
    def mode(self) -> Mode:
        return "shared" if self.shared else "exclusive"
