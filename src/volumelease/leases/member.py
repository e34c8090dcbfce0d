"""What runs a session needs of it."""

from __future__ import annotations

from typing import Any, Protocol

from volumelease.core.liveness import Pulse, Timing
from volumelease.effects import Steps
from volumelease.model import Answer, Question
from volumelease.wire.identity import Identity


class Member(Protocol):
    """A session of whatever authority, as what runs it needs it."""

    @property
    def timing(self) -> Timing: ...

    @property
    def pulse(self) -> Pulse: ...

    @property
    def identity(self) -> Identity: ...

    @property
    def waits(self) -> bool: ...

    @property
    def publishing(self) -> Any: ...

    def alive(self) -> bool: ...

    def remaining_seconds(self) -> float: ...

    def loss_of(self, token: int) -> str: ...

    def open(self) -> Steps[None]: ...

    def keep(self) -> Steps[None]: ...

    def attend(self) -> Steps[None]: ...

    def close(self) -> Steps[None]: ...

    def ask(self, question: Question) -> Steps[Answer]: ...
