"""Sessions on a Redis that leave out a rule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from volumelease.authorities.redis import still
from volumelease.authorities.redis.breaking import Breaking
from volumelease.authorities.redis.calling import Argument, Calls, Memory, Reply, memory_of
from volumelease.authorities.redis.publishing import Publishing
from volumelease.authorities.redis.requests import Requests
from volumelease.authorities.redis.session import RedisSession
from volumelease.authorities.redis.tokens import token_of
from volumelease.authorities.redis.watching import GRACE, MARK, Ahead, Undertaker, Watch
from volumelease.clock import Reading
from volumelease.effects import Steps
from volumelease.errors import LeaseError
from volumelease.model import Acquire

Mutated = list[tuple[Any, str, Any]]


def memory_by_its_number() -> Mutated:
    return [(Memory, "__str__", lambda self: str(self.incarnation))]


def forgetting_is_another_server() -> Mutated:
    """Whoever sees on the volume that a newer memory was used is lost at once."""
    hasty = SimpleNamespace(inf=-math.inf)
    return [*_rejoined_without_a_look(), (still, "math", hasty)]


def _rejoined_without_a_look() -> Mutated:
    rejoin = RedisSession._rejoin

    def hasty(self: RedisSession, memory: Memory) -> Steps[None]:
        steps = rejoin(self, memory)
        try:
            next(steps)
            effect = steps.throw(FileNotFoundError(2, "it was not looked for"))
            while True:
                try:
                    answer: Any = yield effect
                except (LeaseError, OSError, KeyboardInterrupt) as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(answer)
        except StopIteration:
            return

    return [(RedisSession, "_rejoin", hasty)]


def reply_of_an_older_memory() -> Mutated:
    def once(self: Calls, script: str, *arguments: Argument) -> Steps[Reply]:
        while True:
            reply = yield from self.call_in(self.memory, script, *arguments)
            if reply.word != "incarnation":
                return reply
            yield from self._rejoin(memory_of(reply))

    return [(Calls, "once", once)]


def _at_once(prefix: str) -> Mutated:
    look = Watch.look

    def hasty(
        self: Watch, seen: Iterable[tuple[str, str]], asked: Reading, answered: Reading
    ) -> list[str]:
        seen = list(seen)
        over = look(self, seen, asked, answered)
        return over + [name for name, _ in seen if name.startswith(prefix) and name not in over]

    return [(Watch, "look", hasty)]


def grace_ended_at_once() -> Mutated:
    return _at_once(GRACE)


def broken_without_a_watch() -> Mutated:
    return _at_once(MARK)


def nobody_ends_what_is_broken() -> Mutated:
    def things(grace: bytes, marked: list[bytes], memory: Memory) -> list[tuple[str, str]]:
        return [(GRACE, grace.decode())] if grace else []

    def look_on(self: Breaking) -> Steps[None]:
        reply = yield from self._session.calls.once("look", 0)
        for token in self._orders.keys() - {token_of(name) for name in reply.rest[3]}:
            self._ended(token, "ended")

    return [(still, "standing_things", things), (Breaking, "look_on", look_on)]


def counts_not_compared() -> Mutated:
    def differs(self: RedisSession, reply: Reply, expected: int | None) -> bool:
        return int(reply.rest[2]) != self._touched

    return [(RedisSession, "_differs", differs)]


def nothing_given_back() -> Mutated:
    def chores(self: RedisSession) -> Steps[None]:
        return
        yield

    return [(RedisSession, "_chores", chores), *counts_not_compared()]


def abandoned_answers_kept() -> Mutated:
    def give_up(self: Requests, acquire: Acquire) -> None:
        """It goes on as if somebody waited."""

    return [(Requests, "give_up", give_up)]


def publish_not_checked() -> Mutated:
    def check(self: Publishing, token: int) -> Steps[str]:
        return ""
        yield

    return [(Publishing, "_check", check)]


def another_volume_not_noticed() -> Mutated:
    def always(root: str, identity_id: str) -> Steps[str]:
        return ""
        yield

    return [(still, "still_this_volume", always)]


def death_across_namespaces() -> Mutated:
    def within_reach(self: Undertaker, ahead: Iterable[Ahead]) -> list[Ahead]:
        here = self._here
        return [one for one in ahead if here is not None and one.facts.process is not None]

    return [(Undertaker, "within_reach", within_reach)]
