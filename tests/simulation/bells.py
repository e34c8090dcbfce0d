"""Bells and the turnstile of a simulated fleet: courtesies that get lost, come late, come twice or
get stuck, for nothing may depend on them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from volumelease.effects import Heard

from .world import World

LOST: Final = {"none": 1.0, "good": 0.0, "lossy": 0.3}


class Belfry:
    """All bells of one fleet. Whether it has any, and how many rings are lost, the seed says."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.kind = Random(seed ^ 0xBE11).choice(tuple(LOST))
        self.bells: dict[str, Bell] = {}

    def bell(self, session: str) -> Bell | None:
        if self.kind == "none":
            return None
        return self.bells.setdefault(session, Bell(self, session))

    def ring(self, ringer: str, sessions: frozenset[str]) -> None:
        """Who is named is told, as by a channel, and who blocks for the ringer's byte."""
        for bell in self.bells.values():
            if bell.session in sessions or ringer in bell.ahead:
                times = 0 if self.world.chance(LOST[self.kind]) else 1
                times += self.world.chance(0.1)
                for _ in range(times):
                    self.world.after(0.003 * self.world.random.random(), bell.hear)


class Bell:
    """The bell of one session. It keeps what nobody heard yet, as the real one does."""

    def __init__(self, belfry: Belfry, session: str) -> None:
        self.session = session
        self.ahead: tuple[str, ...] = ()
        self._belfry = belfry
        self._rung = self._nudged = False
        self._wake: Callable[[], None] = lambda: None

    def ring(self, sessions: frozenset[str]) -> None:
        self._belfry.ring(self.session, sessions)

    def announce(self, sessions: frozenset[str]) -> None:
        """Makes somebody read the log a little sooner, at a moment that chance finds anyway."""

    def nudge(self) -> None:
        self._nudged = True
        self._wake()

    def hear(self) -> None:
        self._rung = True
        self._wake()

    def listen(
        self, ahead: tuple[str, ...], seconds: float, answer: Callable[[Heard], None]
    ) -> None:
        """``answer`` hears once, at the latest after ``seconds`` of true time."""
        self.ahead = ahead
        world = self._belfry.world
        over: list[bool] = []

        def end() -> None:
            if not over:
                over.append(True)
                rung, self._rung, self._nudged = self._rung, False, False
                answer(Heard(rung, armed=True))

        self._wake = end
        if self._rung or self._nudged:
            end()
        else:
            world.after(seconds, end)


class Gate:
    """The one advisory lock of a fleet. Who is killed or cut off keeps it."""

    def __init__(self) -> None:
        self.holder: Turnstile | None = None
        self.queue: list[tuple[Turnstile, Callable[[], bool]]] = []


class Turnstile:
    """One session's way through it, as ``effects.Turn``."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def free(self) -> bool:
        return False

    def enter(self, world: World, seconds: float, answer: Callable[[bool], None]) -> None:
        gate = self._gate
        if gate.holder is None:
            gate.holder = self
            answer(True)
            return
        answered: list[bool] = []

        def hear(had: bool) -> bool:
            if answered:
                return False
            answered.append(had)
            answer(had)
            return True

        if seconds > 0:
            gate.queue.append((self, lambda: hear(True)))
        world.after(seconds, lambda: hear(False))

    def leave(self) -> None:
        gate = self._gate
        if gate.holder is not self:
            return
        gate.holder = None
        while gate.queue:
            turnstile, hear = gate.queue.pop(0)
            if hear():
                gate.holder = turnstile
                return
