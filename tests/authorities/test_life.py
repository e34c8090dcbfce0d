"""When the life lock of a container's first process proves its end to another host."""

from __future__ import annotations

from dataclasses import dataclass, field

from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.observer import APART_SECONDS, Observer
from volumelease.core.liveness import Timing
from volumelease.core.records import Entry, Open, SessionFacts
from volumelease.core.table import Table
from volumelease.effects import SeeLife
from volumelease.host import ProcessFacts
from volumelease.testing import ManualClock

ELSEWHERE = ProcessFacts("elsewhere", "boot", 7, 1, 5)
HERE = ProcessFacts("here", "other", 8, 9, 5)


@dataclass
class Lock:
    free: bool | OSError = False
    looks: list[str] = field(default_factory=list)

    def is_free(self, session: str) -> bool:
        self.looks.append(session)
        if isinstance(self.free, OSError):
            raise self.free
        return self.free


class Watcher:
    """An observer of one session on another host."""

    def __init__(self, *, keeper: bool = True) -> None:
        self.lock = Lock()
        self.clock = ManualClock()
        self.table = Table(grace=False)
        facts = SessionFacts(ELSEWHERE, keeper=keeper)
        self.table.apply(0, Entry("s", 1, 0.0, Open(facts)))
        timing, layout = Timing(15.0), Layout.first("/v", "id")
        self.observer = Observer(layout, timing, self.clock, HERE, self.lock)

    def looks(self, *, seconds: float = 0.0) -> list[tuple[str, str]]:
        """Watch once; answers of the lock take ``seconds``."""
        steps = self.observer.watch(["s"], self.table)
        answer: object = None
        trouble: OSError | None = None
        try:
            while True:
                effect = steps.send(answer) if trouble is None else steps.throw(trouble)
                answer = trouble = None
                if isinstance(effect, SeeLife):
                    try:
                        answer = effect.life.is_free(effect.session)
                    except OSError as error:
                        trouble = error
                    self.clock.advance(seconds)
                else:
                    answer = 1
        except StopIteration as done:
            over: list[tuple[str, str]] = done.value
            return over

    def looks_for(self, seconds: float) -> list[tuple[str, str]]:
        over: list[tuple[str, str]] = []
        for _ in range(int(seconds / 0.05)):
            over += self.looks()
            self.clock.advance(0.05)
        return over


def test_a_lock_that_was_kept_and_is_free_twice_proves_the_end() -> None:
    watcher = Watcher()
    assert watcher.looks_for(1.0) == []
    watcher.lock.free = True
    assert watcher.looks_for(0.4) == []
    assert ("s", "its container is gone") in watcher.looks_for(0.5)


def test_a_lock_that_was_never_seen_taken_proves_nothing() -> None:
    watcher = Watcher()
    watcher.lock.free = True
    assert watcher.looks_for(3.0) == []


def test_a_session_that_declared_nothing_is_not_looked_at() -> None:
    watcher = Watcher(keeper=False)
    watcher.looks_for(1.0)
    assert watcher.lock.looks == []


def test_a_lock_that_is_taken_again_proves_nothing() -> None:
    watcher = Watcher()
    watcher.looks_for(0.5)
    for _ in range(5):
        watcher.lock.free = True
        assert watcher.looks_for(0.4) == []
        watcher.lock.free = False
        assert watcher.looks_for(0.7) == []


def test_an_error_is_no_answer_and_the_lock_must_be_seen_taken_again() -> None:
    watcher = Watcher()
    watcher.looks_for(0.5)
    watcher.lock.free = OSError(11, "no")
    assert watcher.looks_for(1.0) == []
    watcher.lock.free = True
    assert watcher.looks_for(2.0) == []


def test_the_second_look_begins_a_while_after_the_first_one_was_answered() -> None:
    watcher = Watcher()
    watcher.looks()
    watcher.clock.advance(1.0)
    watcher.lock.free = True
    assert watcher.looks(seconds=2.0) == []
    assert watcher.looks() == []
    watcher.clock.advance(APART_SECONDS)
    assert watcher.looks() == [("s", "its container is gone")]
