"""How a desk hears that something about one request changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumelease.drivers.crew import Job

if TYPE_CHECKING:
    from .clients import User
    from .desk import Desk


class Watch:
    """Set by the session's threads whenever something about one request changed."""

    __slots__ = ("_desk", "_token", "_user", "_waits")

    def __init__(self, desk: Desk, user: User, token: int) -> None:
        self._desk = desk
        self._user = user
        self._token = token
        self._waits = False

    def set(self) -> None:
        if not self._waits:
            self._waits = True
            self._desk.crew.do(Job(self._look), urgent=True)

    def _look(self) -> None:
        self._waits = False
        try:
            self._desk.news(self._user, self._token)
        except Exception:  # noqa: BLE001 - nothing will change again, so this is looked at again
            self._desk.unheard.append(self)
