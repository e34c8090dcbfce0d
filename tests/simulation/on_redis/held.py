"""Sessions on a Redis that tell the checkers what they learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tests.simulation.held import WatchedSession
from volumelease.authorities.redis.session import RedisSession
from volumelease.authorities.volume.layout import CONTROL
from volumelease.effects import Rename, Steps
from volumelease.model import Answer, Draft, Publish, Question

if TYPE_CHECKING:
    from .fleet import RedisFleet
    from .worker import RedisWorker


class WatchedRedisSession(RedisSession):
    """The product's session."""

    fleet: RedisFleet
    worker: RedisWorker

    @property
    def log(self) -> str:
        """Names the table that its tokens belong to."""
        return self.identity.id

    knew_at = -1e9
    """When the last beat that counts was sent: what others had done to it by then, it knows."""

    def beat(self) -> Steps[bool]:
        sent_at = self.fleet.world.now
        counted = yield from super().beat()
        if counted:
            self.knew_at = sent_at
            self.fleet.tell("beaten", self)
        return counted

    def ask(self, question: Question) -> Steps[Answer]:
        steps = super().ask(question)
        if not isinstance(question, Publish):
            return (yield from steps)
        self.fleet.tell("publishing", self, question.draft)
        return (yield from self._watched(steps, question.draft))

    def _watched(self, steps: Steps[Answer], draft: Draft) -> Steps[Answer]:
        answer: Any = None
        trouble: BaseException | None = None
        while True:
            try:
                effect = steps.send(answer) if trouble is None else steps.throw(trouble)
            except StopIteration as finished:
                ended: Answer = finished.value
                return ended
            if isinstance(effect, Rename) and f"/{CONTROL}/" not in effect.target:
                self.fleet.tell("replacing", self, draft)
            answer = trouble = None
            try:
                answer = yield effect
            except Exception as error:  # noqa: BLE001 - thrown into what is watched
                trouble = error
            except KeyboardInterrupt as error:
                trouble = error

    def wants(self, number: int) -> bool:
        """Whether somebody in its process waits for, uses, or is about to give back that
        request."""
        requests = self.requests
        return (
            number in requests.unwanted
            or number in requests._flights
            or any(mine.number == number for mine in requests.wanted.values())
        )


def as_watched(session: WatchedRedisSession) -> WatchedSession:
    """What it is to everybody who does not care which authority it has: both have one life."""
    return cast("WatchedSession", session)


def as_redis(session: WatchedSession) -> WatchedRedisSession:
    return cast("WatchedRedisSession", session)
