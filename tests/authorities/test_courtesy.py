"""Who takes turns at the log, and when: each rule by itself, then a race that only they decide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from volumelease.authorities.answers import SessionOver
from volumelease.authorities.volume import courtesy, founding
from volumelease.authorities.volume.committer import Committer
from volumelease.authorities.volume.courtesy import (
    BEHIND_SECONDS,
    COMMITS_IN_A_ROW,
    HERD_MISSES,
    TURNSTILE_SECONDS,
    VAIN_WAITS,
    Contender,
    Courtesy,
)
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.replica import Replica
from volumelease.clock import Clock, SystemClock
from volumelease.core import records
from volumelease.core.records import CLOSING_ENTRIES, Entry
from volumelease.core.table import Outcome
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.effects import EnterTurn, Sleep, Steps


class Gate:
    """A turnstile that says who asked for it and how long they would have waited."""

    def __init__(self, *, shut: bool = False) -> None:
        self.shut = shut
        self.asked: list[float] = []
        self.left = 0

    def free(self) -> bool:
        return False

    def enter(self, seconds: float) -> bool:
        self.asked.append(seconds)
        return not self.shut

    def leave(self) -> None:
        self.left += 1


def run(steps: Steps[Any]) -> Any:
    answer: bool | None = None
    while True:
        try:
            effect = steps.send(answer)
        except StopIteration as end:
            return end.value
        answer = None
        if isinstance(effect, EnterTurn):
            assert isinstance(effect.turn, Gate)
            answer = effect.turn.enter(effect.seconds)


def commits(polite: Courtesy, times: int) -> None:
    for _ in range(times):
        commit = Contender()
        run(polite.begin(commit))
        polite.end(commit)


def test_who_is_always_fast_enough_comes_through_now_and_then() -> None:
    gate = Gate()
    commits(Courtesy("aa" * 8, gate), 10 * COMMITS_IN_A_ROW)
    assert gate.asked == [TURNSTILE_SECONDS] * 9
    assert gate.left == 9


def test_a_gate_that_stays_shut_is_only_tried_after_a_while() -> None:
    gate = Gate(shut=True)
    polite = Courtesy("aa" * 8, gate)
    commits(polite, (VAIN_WAITS + 3) * (COMMITS_IN_A_ROW + 1))
    assert gate.asked == [TURNSTILE_SECONDS] * VAIN_WAITS + [0.0] * 3
    gate.shut = False
    commits(polite, 2 * (COMMITS_IN_A_ROW + 1))
    assert gate.asked[-2:] == [0.0, TURNSTILE_SECONDS]


def test_who_was_slower_twice_queues_up_and_keeps_the_turn_for_its_commit() -> None:
    gate = Gate()
    polite, commit = Courtesy("aa" * 8, gate), Contender()
    for misses in range(1, 5):
        run(polite.missed(commit))
        assert gate.asked == [TURNSTILE_SECONDS] * (misses >= HERD_MISSES)
    assert gate.left == 0
    polite.end(commit)
    assert gate.left == 1


def test_who_is_behind_waits_longer_but_once_in_vain() -> None:
    gate = Gate(shut=True)
    polite, commit = Courtesy("aa" * 8, gate), Contender()
    for _ in range(3):
        run(polite.behind(commit))
    assert gate.asked == [BEHIND_SECONDS]
    gate.shut = False
    run(polite.missed(commit))
    run(polite.missed(commit))
    assert commit.passed
    run(polite.behind(commit))
    assert gate.asked == [BEHIND_SECONDS, 0.0]


class Told:
    """Tells a committer what was read of its own."""

    committer: Committer

    def entry_applied(self, index: int, entry: Entry, outcome: Outcome) -> None:
        if entry.author == self.committer._author:
            self.committer.landed(index, entry, outcome)

    def table_loaded(self) -> None: ...


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    identity, _ = Monitor(Files()).run(
        founding.found(str(tmp_path), founding.Founding("ab", 15.0, 0.0, ready=True))
    )
    return Layout.of(str(tmp_path), identity)


class SharedGate:
    """One turnstile for several committers that one thread plays in turn."""

    def __init__(self) -> None:
        self.holder: object = None


class Way:
    def __init__(self, gate: SharedGate) -> None:
        self.gate = gate

    def free(self) -> bool:
        return False

    def enter(self, seconds: float) -> bool:
        if self.gate.holder is None:
            self.gate.holder = self
        return self.gate.holder is self

    def leave(self) -> None:
        if self.gate.holder is self:
            self.gate.holder = None


class Free:
    """The turn within one process, which has one thread here."""

    def free(self) -> bool:
        return True

    def enter(self, seconds: float) -> bool:
        return True

    def leave(self) -> None: ...


class Player:
    """One committer's flow, one effect a round; a round is a millisecond."""

    def __init__(self, flow: Steps[Any]) -> None:
        self.flow = flow
        self.over = False
        self._answer: Any = None
        self._error: OSError | None = None
        self._waiting: tuple[Way, int] | None = None
        self._asleep_until = 0

    def play(self, moment: int, files: Files) -> None:
        if self.over or moment < self._asleep_until:
            return
        if self._waiting is not None:
            way, until = self._waiting
            if not way.enter(0) and moment < until:
                return
            self._answer, self._waiting = way.gate.holder is way, None
        error, self._error = self._error, None
        try:
            effect = self.flow.throw(error) if error else self.flow.send(self._answer)
        except StopIteration:
            self.over = True
            return
        self._answer = None
        if isinstance(effect, EnterTurn) and isinstance(effect.turn, Way):
            self._waiting = (effect.turn, moment + round(effect.seconds * 1000))
        elif isinstance(effect, Sleep):
            self._asleep_until = moment + round(effect.seconds * 1000)
        else:
            try:
                self._answer = files.perform(effect)
            except OSError as trouble:
                self._error = trouble


def committer_of(
    layout: Layout,
    author: str,
    clock: Clock,
    turnstile: Way | None,
    alive: Callable[[], bool] = lambda: True,
) -> Committer:
    told = Told()
    replica = Replica(layout, clock, told)

    def full() -> Steps[None]:
        raise AssertionError("the race should be over before the segment is full")
        yield

    told.committer = Committer(replica, author, clock, Free(), alive, full, turnstile)
    return told.committer


@pytest.mark.parametrize("courteous", [True, False])
def test_who_is_behind_gets_to_the_end_of_a_log_that_grows_as_fast_as_it_reads(
    layout: Layout, courteous: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the turnstile the newcomer runs after the end: that is what it is for."""
    monkeypatch.setattr(courtesy, "COMMITS_IN_A_ROW", 8)  # all within one segment
    gate, clock, files = SharedGate(), SystemClock(), Files()
    ways = [Way(gate) if courteous else None for _ in range(3)]
    names = [f"{number:016x}" for number in range(1, 4)]
    first, second, newcomer = (
        committer_of(layout, name, clock, way) for name, way in zip(names, ways, strict=True)
    )

    def write(committer: Committer) -> Steps[None]:
        while True:
            yield from committer.commit(records.Close)

    writers = [Player(write(committer)) for committer in (first, second)]
    late = Player(newcomer.commit(records.Close))
    moment = 0
    for moment in range(10_000):
        if late.over or first._replica.place >= CLOSING_ENTRIES - 2:
            break
        for player in (*writers, late) if first._replica.place > 60 else writers:
            player.play(moment, files)
    assert late.over is courteous


def test_who_was_lost_on_the_way_does_not_run_on(layout: Layout) -> None:
    """The end of the log moves on as fast as it is read; the session was over long before."""
    clock, files = SystemClock(), Files()
    writer = committer_of(layout, f"{1:016x}", clock, None)
    over: list[bool] = []
    newcomer = committer_of(layout, f"{2:016x}", clock, None, lambda: not over)

    def write() -> Steps[None]:
        while True:
            yield from writer.commit(records.Close)

    busy, late = Player(write()), Player(newcomer.commit(records.Close))
    with pytest.raises(SessionOver):
        for moment in range(10_000):
            assert writer._replica.place < CLOSING_ENTRIES - 2, "it is still running"
            busy.play(moment, files)
            if writer._replica.place > 60:
                late.play(moment, files)
            if newcomer._replica.place > 4:
                over.append(True)
    assert newcomer._replica.place < 70


def test_who_misses_for_ever_goes_on_waiting() -> None:
    polite = Courtesy("aa" * 8, None)
    assert 0 <= polite._scattered(10_000) <= TURNSTILE_SECONDS
