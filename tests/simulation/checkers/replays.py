"""Whatever happened, the log that is left keeps its own rules: ``verify`` finds nothing in it."""

from __future__ import annotations

from typing import Any

from tests.simulation.mount import Mount
from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.replay import Replay
from volumelease.effects import Sleep, Steps
from volumelease.wire.identity import Identity

from . import Checker


class _Nobody:
    def begins(self, *facts: Any) -> None: ...

    def applied(self, *facts: Any) -> None: ...


class Replays(Checker):
    """Judged at the end, when nothing is under way any more."""

    name = "replay"

    def finished(self) -> None:
        if {"garbage", "forget"} & set(self.fleet.setup.troubles):
            return
        identity: Identity | None = self._perform(founding.read_identity("/v"))
        if identity is None:
            return
        replay = Replay(Layout.of("/v", identity), self.fleet.hosts[0].clock, _Nobody())
        self._perform(replay.run())
        if replay.findings:
            raise self.violation("; ".join(map(str, replay.findings[:3])))

    def _perform(self, steps: Steps[Any]) -> Any:
        """Without time, through a mount of its own that has cached nothing."""
        mount = Mount(self.fleet.world, self.fleet.server, self.fleet.setup, "auditor")
        answer: Any = None
        trouble: OSError | None = None
        while True:
            try:
                effect = steps.send(answer) if trouble is None else steps.throw(trouble)
            except StopIteration as finished:
                return finished.value
            answer = trouble = None
            try:
                answer = None if isinstance(effect, Sleep) else mount._operation(effect)()
            except OSError as error:
                trouble = error
