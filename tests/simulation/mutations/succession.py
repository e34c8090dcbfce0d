"""Rules for a daemon that goes on with the session of one that was killed."""

from __future__ import annotations

from typing import Any

from tests.simulation.process import Process
from volumelease.authorities.volume import survival
from volumelease.authorities.volume.committer import Committer
from volumelease.clock import Reading
from volumelease.core.liveness import Pulse, Succession, Timing
from volumelease.core.table import Session
from volumelease.host import ProcessFacts

Patches = list[tuple[Any, str, Any]]


def resumed_without_proof() -> Patches:
    """Who asks for a session that others may go on with gets no proof; an heir gets one always.
    Numbers and counters that are far apart would hide most of what comes of it."""

    def go_on_after(self: Any, number: int) -> None:
        self._number = max(self._number, number)

    return [
        (Process, "_proves_death", lambda self, asked: bool(asked.start_time)),
        (Committer, "go_on_after", go_on_after),
        (Succession, "last_counter", lambda self: self.counter),
    ]


def death_is_proof() -> Patches:
    return [(ProcessFacts, "without_proof", lambda self: self)]


def whose_users_died() -> Patches:
    real = survival.ended

    def ended(known: Session | None) -> str:
        return real(known) if known is None else ""

    return [(survival, "ended", ended)]


def after_the_deadline() -> Patches:
    def pulse(self: Succession, timing: Timing, now: Reading) -> Pulse:
        return Pulse(timing, now)

    return [(Succession, "pulse", pulse)]


def same_counter() -> Patches:
    return [(Succession, "last_counter", lambda self: self.counter - 1)]


def used_numbers() -> Patches:
    return [(Committer, "go_on_after", lambda self, number: None)]
