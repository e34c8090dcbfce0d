"""What a user asks for, before anything is known about it, and how much of it is asked for."""

from __future__ import annotations

import os
from typing import Any, Literal, NamedTuple

from volumelease.model import Acquire, Claim, Client
from volumelease.settings import Settings

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


def raised(claims: tuple[Claim, ...], settings: Settings, *, shared: bool) -> tuple[Claim, ...]:
    """What is asked for in their place: the whole volume if all exclusive leases are on it."""
    return (Claim("", ""),) if settings.scope == "volume" and not shared else claims


def raised_question(question: Acquire, settings: Settings) -> Acquire:
    """As ``raised``, for a request that a client put together."""
    claims = raised(question.claims, settings, shared=not question.exclusive)
    return question._replace(claims=claims)
