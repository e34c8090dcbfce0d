"""Progress: after the faults are over everybody comes to a lease, and nobody loses one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumelease.errors import LogDamaged

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.worker import Worker


class Progress(Checker):
    name = "progress"

    def crashed(self, worker: Worker, thread: str, error: BaseException) -> None:
        raise self.violation(f"{thread} of {worker.process.name} died: {error!r}")

    def progressed(self) -> None:
        late = [w.process.name for w in self.fleet.alive() if not w.finale_done]
        if late:
            raise self.violation(
                f"{late} had no lease within {self.fleet.bound:.0f} s after the last fault"
            )

    def finished(self) -> None:
        alive = self.fleet.alive()
        names = {w.session.name for w in alive if w.session is not None and w.session.alive()}
        if len(names) < len(alive):
            raise self.violation("a session was lost though nothing was wrong any more")
        for worker in alive:
            assert worker.session is not None
            strangers = set(worker.session.replica.table.sessions) - names
            if strangers:
                raise self.violation(f"dead sessions {sorted(strangers)} were never ended")


__all__ = ["LogDamaged", "Progress"]
