"""The small scope with publishing: holders decide, die, and are finished by whoever comes next.

Each exclusive holder publishes one complete draft at ``a/b``. At every moment a holder may die, its
last call never made, made, or landing at any later moment; the other then ends its session and
goes on. Writing a draft touches nothing that anybody else knows, so it is not part of the scope:
what is explored is the decision, the rename and its repetition.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any, Final

from volumelease import effects
from volumelease.authorities.volume.drafts import Sealed
from volumelease.core import records
from volumelease.effects import Contents, Steps
from volumelease.model import Claim, Draft, Ended, Publish

from .checkers import Violation
from .exhaustive import Actor, Pause, Universe
from .volume import failure

PLACE: Final = "/v/a/b"
_STAGE: Final = "/v/.volumelease/0/stage"


class Publisher(Actor):
    """Publishes under its lease, if that is exclusive."""

    def __init__(self, name: str, path: str, exclusive: bool) -> None:
        super().__init__(name, path, exclusive)
        self.unique = f"{name}-0"
        self.usable = self.told = False
        self.peers: list[Publisher] = []
        self.publishing.drafts.sync = self._synced  # type: ignore[method-assign]
        self.publishing.drafts.seal = self._sealed  # type: ignore[method-assign]

    def _synced(self, draft: Draft) -> Steps[Contents]:
        return Contents(1, 1)
        yield

    def _sealed(self, draft: Draft, contents: Contents) -> Steps[Sealed]:
        return Sealed(f"stage/{draft.unique}/b", draft.path, contents)
        yield

    def _look(self) -> Iterator[Any]:
        yield from self.replica.catch_up()
        for peer in self.peers:
            if peer.dead and peer.name in self.replica.table.sessions:
                yield from self.committer.commit(self._expiry(peer.name), urgent=True)

    def _expiry(self, name: str) -> Any:
        sessions = self.replica.table.sessions
        return lambda: records.Expire(name) if name in sessions else None

    def _use(self, token: int) -> Iterator[Any]:
        self.usable = True
        yield Pause()
        target = Claim("a/b", "a/b")
        draft = Draft(token, target, self.unique, f"{_STAGE}/{self.unique}/b")
        answer = yield from self.requests.ask(Publish(draft))
        assert isinstance(answer, Ended), answer
        self.told = True
        yield Pause()
        self.usable = self.told = False


class Shelf(Universe):
    """The same log, and the one place at which all publish."""

    def __init__(self, actors: list[Actor], links: dict[str, str]) -> None:
        super().__init__(actors, links)
        self.publishers = [actor for actor in actors if isinstance(actor, Publisher)]
        self.files = {f"{_STAGE}/{one.unique}/b": one.unique for one in self.publishers}
        self.moving: list[tuple[str, str]] = []
        self.newest = -1
        for one in self.publishers:
            one.peers = [other for other in self.publishers if other is not one]

    def choices(self, most_faults: int) -> list[tuple[int, str]]:
        found = [choice for choice in super().choices(most_faults) if choice[1] != "interrupted"]
        found += [(-2, str(number)) for number in range(len(self.moving))]
        for number, actor in enumerate(self.actors):
            if actor.done or self.faults >= most_faults:
                continue
            found += [(number, "dies"), (number, "dies late")]
            if isinstance(actor.asked, effects.Rename):
                found += [(number, how) for how in ("resent", "lost", "refused", "late")]
        return found

    def _news(self, actor: Actor) -> bool:
        assert isinstance(actor, Publisher)
        sessions = actor.replica.table.sessions
        return super()._news(actor) or any(p.dead and p.name in sessions for p in actor.peers)

    def choose(self, choice: tuple[int, str]) -> None:
        number, outcome = choice
        if number == -2:
            self._move(*self.moving.pop(int(outcome)))
        elif outcome.startswith("dies"):
            self._die(self.actors[number], late=outcome == "dies late")
        else:
            super().choose(choice)

    def _die(self, actor: Actor, *, late: bool) -> None:
        self.faults += 1
        actor.dead = actor.done = True
        actor.believes = False
        assert isinstance(actor, Publisher)
        actor.usable = actor.told = False
        match actor.asked if late else None:
            case effects.Symlink(target, name, at) if at is not None:
                self.late.append((name, target))
            case effects.Rename(source, target):
                self.moving.append((source, target))
            case _:
                pass
        actor.asked = None

    def _execute(self, asked: Any, outcome: str) -> Any:
        match asked:
            case effects.Rename(source, target):
                return self._rename(source, target, outcome)
            case effects.LookAt(path):
                if path not in self.files:
                    raise failure(errno.ENOENT)
                return effects.Kind("file")
            case effects.ReadLink(path, None):
                raise failure(errno.EINVAL if path in self.files else errno.ENOENT)
            case effects.Unlink() | effects.RemoveDirectory():
                raise failure(errno.ENOENT)
            case effects.Symlink(_, _, None) | effects.HardLink():
                return None  # what readers need
            case _:
                return super()._execute(asked, outcome)

    def _rename(self, source: str, target: str, outcome: str) -> None:
        if outcome == "late":
            self.moving.append((source, target))
        if outcome in ("late", "refused"):
            raise failure(errno.EIO)
        moved = self._move(source, target)
        if outcome == "lost":
            raise failure(errno.EIO)
        if outcome == "resent" or not moved:
            raise failure(errno.ENOENT)

    def _move(self, source: str, target: str) -> bool:
        if source not in self.files:
            return False
        self.files[target] = self.files.pop(source)
        return True

    def key(self) -> tuple[Any, ...]:
        dead = tuple(actor.dead for actor in self.actors)
        files = tuple(sorted(self.files.items()))
        return (*super().key(), files, tuple(sorted(self.moving)), dead, self.newest)

    # ---- what must hold in every state

    def judge(self) -> None:
        super().judge()
        decided = self._decided()
        visible = self.files.get(PLACE)
        if visible is not None and visible not in decided:
            raise Violation("publishes", f"{visible} is visible and was not decided")
        index = -1 if visible is None else decided[visible]
        if index < self.newest:
            raise Violation("publishes", f"{visible} is visible again, {self.newest} was")
        self.newest = index
        for one in self.publishers:
            if one.told and visible != one.unique:
                raise Violation("publishes", f"{one.name} was told that it is visible")
            others = [at for unique, at in decided.items() if unique != one.unique]
            if one.usable and index < max(others, default=-1):
                raise Violation("publishes", f"{one.name} uses {PLACE} before it is complete")

    def _decided(self) -> dict[str, int]:
        """The drafts of all publishes that are not void, by every replica together."""
        return {
            entry.body.source.split("/")[1]: index
            for actor in self.actors
            for index, entry, outcome in actor.applied
            if isinstance(entry.body, records.Publish) and not outcome.void
        }

    def judge_end(self) -> None:
        if any(not actor.done for actor in self.actors):
            waiting = [actor.name for actor in self.actors if not actor.done]
            raise Violation("progress", f"{waiting} wait for ever")
        decided = self._decided()
        for one in self.publishers:
            if not one.dead and self.newest < decided[one.unique]:
                raise Violation("publishes", f"{one.name} let go and {PLACE} is not visible")
