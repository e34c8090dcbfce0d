"""Requests appear, change and end by calls that may do that, and by no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.checkers import Checker
from tests.simulation.on_redis.tables import Request, Table
from tests.simulation.on_redis.wire import Call

if TYPE_CHECKING:
    from tests.simulation.fleet import Fleet


class Ownership(Checker):
    name = "ownership"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._memories: dict[str, set[str]] = {}
        """The nonces of each volume's memories so far."""

    def table_changed(self, call: Call, before: Table, after: Table) -> None:
        memories = self._memories.setdefault(call.effect.key, set())
        if memories and after.nonce and not (after.nonce in memories or after.grace):
            raise self.violation(f"after {call}: a server that forgot begins without a grace")
        memories.add(after.nonce)
        if before.nonce != after.nonce:
            if after.requests:
                raise self.violation(f"after {call}: a new memory begins with {after.requests}")
            return
        for token, request in before.requests.items():
            now = after.requests.get(token)
            if now is None:
                if not self._may_end(call, request, before, after):
                    raise self.violation(f"{call} ended {request}")
            elif request.granted and not now.granted:
                raise self.violation(f"{call} took back {request}")
            elif request.exclusive != now.exclusive and not self._is_of(call, request, "downgrade"):
                raise self.violation(f"{call} changed {request}")
        for token, request in after.requests.items():
            asked = call.script in ("acquire", "reclaim") and request.session == call.session
            if token not in before.requests and not asked:
                raise self.violation(f"{call} made {request}")

    def _is_of(self, call: Call, request: Request, script: str) -> bool:
        """Whether that call is its owner's, about this very request."""
        if call.script != script or call.session != request.session:
            return False
        return call.arguments[0] == request.number

    def _may_end(self, call: Call, request: Request, before: Table, after: Table) -> bool:
        match call.script:
            case "release":
                return self._is_of(call, request, "release")
            case "close":
                return request.session == call.session
            case "expire":
                return request.session == call.arguments[0]
            case "break":
                return request.breaking and call.arguments[1] == "end"
            case "reclaim":
                newer = [one for token, one in after.requests.items() if token > request.token]
                return bool(before.grace) and any(
                    one.token not in before.requests and one.conflicts(request) for one in newer
                )
            case _:
                return False
