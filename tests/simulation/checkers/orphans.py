"""No grant without a waiter survives: what nobody waits for or uses is given back."""

from __future__ import annotations

from . import Checker


class Orphans(Checker):
    """Judged at the end, when every worker has let go of everything long ago."""

    name = "orphans"

    def finished(self) -> None:
        for worker in self.fleet.alive():
            session = worker.session
            if session is None or not session.alive():
                continue
            for other in self.fleet.alive():
                if other.session is None or not other.session.alive():
                    continue
                tokens = other.session.replica.table.tokens_of(session.name)
                if tokens:
                    raise self.violation(
                        f"{worker.process.name} still has tokens {tokens} that nobody wants"
                    )
