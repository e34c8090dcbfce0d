"""A lost lease stays lost, and a lost session too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import Checker

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet
    from tests.simulation.held import Held
    from tests.simulation.process import Process
    from tests.simulation.worker import Worker


class Latch(Checker):
    name = "latch"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._lost: set[str] = set()
        self._watched: list[Held] = []
        self._gone: set[tuple[str, int]] = set()

    def granted(self, held: Held) -> None:
        if held.session.name in self._lost and held.believed():
            raise self.violation(f"{held} was granted to a session that was lost before")
        self._watched.append(held)

    def looked(self, worker: Worker) -> None:
        self._look(worker.process)

    def resumed(self, process: Process) -> None:
        self._look(process)

    def _look(self, process: Process) -> None:
        for worker in self.fleet.workers:
            if worker.process is not process or worker.session is None:
                continue
            session = worker.session
            if session.name in self._lost:
                if session.alive():
                    raise self.violation(f"session {session.name} of {process.name} came back")
            elif not session.alive():
                self._lost.add(session.name)
            for held in worker.held:
                self._look_at(held)

    def _look_at(self, held: Held) -> None:
        key = (held.session.name, held.token)
        lost = bool(held.session.loss_of(held.token))
        if lost:
            self._gone.add(key)
        elif key in self._gone:
            raise self.violation(f"{held} was lost and is believed in again")
