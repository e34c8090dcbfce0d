"""The sessions of a process under torture, telling what they learn.

They are the simulator's own watched sessions, put in the place of the product's in this process;
what there a checker hears is written down here, for the judge.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.simulation.held import Page, WatchedSession
from volumelease.core.records import SEGMENT_ENTRIES, Entry
from volumelease.core.table import Outcome
from volumelease.effects import CallScript, Steps
from volumelease.model import Answer, Draft
from volumelease.wire.entries import encode_entry
from volumelease.wire.snapshots import digest_of, encode_snapshot

from .notes import Notes, Signs, now

DIGEST_EVERY = 8
"""As often as the checker of one log compares."""


class Recorder:
    """Stands where a watched session expects its fleet, and is its only checker."""

    def __init__(self, notes: Notes, folder: Path) -> None:
        self._notes = notes
        self._signs = Signs(folder)
        self.checkers = [self]

    @property
    def world(self) -> Recorder:
        return self

    @property
    def now(self) -> float:
        return now()

    @property
    def deletions(self) -> int:
        return self._signs.count("deletions")

    def decided(self, worker: Any) -> None:
        """The entry itself is noted."""

    def loaded(self, session: WatchedSession) -> None:
        replica = session.replica
        snapshot = encode_snapshot(replica.table, replica.next_index // SEGMENT_ENTRIES)
        self._about(session, "loaded", next=replica.next_index, snapshot=snapshot)

    def applied(self, session: WatchedSession, index: int, entry: Entry, outcome: Outcome) -> None:
        facts: dict[str, Any] = {"index": index, "entry": encode_entry(entry), "void": outcome.void}
        if index % DIGEST_EVERY == DIGEST_EVERY - 1:
            facts["digest"] = digest_of(session.replica.table)
        self._about(session, "applied", **facts)

    def tell(self, what: str, session: Any, *about: Any) -> None:
        if what == "beaten":
            self._about(session, "beaten", knew=session.knew_at)
        elif about and isinstance(about[0], Draft):
            self._about_draft(what, session, about[0])

    def _about_draft(self, what: str, session: Any, draft: Draft) -> None:
        mine = session.requests.wanted.get(draft.token)
        self._about(
            session,
            what,
            token=str(draft.token),
            unique=draft.unique,
            place=draft.target.path,
            number=-1 if mine is None else mine.number,
            loss=session.loss_of(draft.token),
        )

    def checked(self, session: Any, numbers: list[int]) -> None:
        self._about(session, "checked", numbers=numbers)

    def _about(self, session: Any, kind: str, **facts: Any) -> None:
        self._notes.note(
            kind, session=session.name, log=session.log, identity=session.identity.id, **facts
        )


def install(notes: Notes, folder: Path, authority: str) -> None:
    """From here on every session that this process opens tells."""
    recorder: Any = Recorder(notes, folder)
    if authority == "volume":
        from volumelease.leases import hosting

        class Told(WatchedSession):
            fleet = recorder
            worker: Any = SimpleNamespace(page=Page())

        setattr(hosting, "Session", Told)  # noqa: B010 - a subclass in the place of its class
        return
    from tests.simulation.on_redis.held import WatchedRedisSession
    from volumelease.leases import redis_hosting

    class ToldOnRedis(WatchedRedisSession):
        fleet = recorder
        worker: Any = SimpleNamespace(page=Page())

        def _watched(self, steps: Steps[Answer], draft: Draft) -> Steps[Answer]:
            return super()._watched(_hearing_checks(self, recorder, steps), draft)

    setattr(redis_hosting, "RedisSession", ToldOnRedis)  # noqa: B010 - as above


def _hearing_checks(session: Any, recorder: Recorder, steps: Steps[Answer]) -> Steps[Answer]:
    """The steps of one publish, with what the server said about the lease written down."""
    answer: Any = None
    trouble: BaseException | None = None
    while True:
        try:
            effect = steps.send(answer) if trouble is None else steps.throw(trouble)
        except StopIteration as finished:
            ended: Answer = finished.value
            return ended
        answer = trouble = None
        try:
            answer = yield effect
        except BaseException as error:  # noqa: BLE001 - thrown into what is watched
            trouble = error
        if isinstance(effect, CallScript) and effect.script == "look" and trouble is None:
            recorder.checked(session, _granted_in(answer))


def _granted_in(reply: Any) -> list[int]:
    """The numbers of the requests that a reply to ``look`` calls granted."""
    if reply[0] != b"look":
        return []
    pairs = zip(reply[2][::2], reply[2][1::2], strict=True)
    return [int(number) for number, how in pairs if how == b"granted"]
