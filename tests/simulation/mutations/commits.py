"""Rules about committing one record, and about what nobody wants any more."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from volumelease.authorities.volume import ground, replica
from volumelease.authorities.volume.committer import Committer, _Attempt
from volumelease.authorities.volume.layout import Layout, number_of
from volumelease.authorities.volume.replica import Replica
from volumelease.authorities.volume.requests import Requests
from volumelease.clock import Clock
from volumelease.core import records
from volumelease.effects import Directory, Steps
from volumelease.errors import AuthorityUnreachable
from volumelease.model import Acquire

Patches = list[tuple[Any, str, Any]]


def _renumber(committer: Committer, attempt: _Attempt) -> None:
    """Go on with another record: the first one, should it land, is nobody's."""
    committer._awaited.pop(attempt.number, None)
    committer._number += 1
    attempt.number = committer._number
    committer._awaited[attempt.number] = None


def _commit_keeping_house(
    self: Committer,
    decide: Any,
    *,
    urgent: bool = False,
    wanted: Callable[[], bool] = lambda: True,
) -> Any:
    """``commit``, for mutants that change the number on the way."""
    self._wanted = defaultdict(lambda: wanted)
    self._number += 1
    attempt = _Attempt(self._number, round(self._clock.wall(), 3), urgent)
    self._awaited[attempt.number] = None
    try:
        return (yield from self._until_known(attempt, decide))
    finally:
        self._awaited.pop(attempt.number, None)


def eexist_is_not_ours() -> Patches:
    settle = Committer._settle

    def trusting(
        self: Committer, index: int, attempt: _Attempt, trouble: OSError | None, slow: bool
    ) -> Steps[None]:
        if trouble is not None and trouble.errno == errno.EEXIST:
            _renumber(self, attempt)
        yield from settle(self, index, attempt, trouble, slow)

    return [(Committer, "_settle", trusting), (Committer, "commit", _commit_keeping_house)]


def error_means_nothing_happened() -> Patches:
    def trusting(
        self: Committer, index: int, attempt: _Attempt, trouble: OSError | None, slow: bool
    ) -> Steps[None]:
        if trouble is not None and trouble.errno == errno.EIO:
            raise AuthorityUnreachable("not committed", root="", seconds=0.0)
        yield from self._replica.reach_end()

    def careless(self: Requests) -> Steps[None]:
        return
        yield

    return [(Committer, "_settle", trusting), (Requests, "give_back_unwanted", careless)]


def index_skipped() -> Patches:
    settle = Committer._settle

    def skipping(
        self: Committer, index: int, attempt: _Attempt, trouble: OSError | None, slow: bool
    ) -> Steps[None]:
        yield from settle(self, index, attempt, trouble, slow)
        if trouble is not None and self._replica.next_index == index:
            self._replica.next_index += 1

    return [(Committer, "_settle", skipping)]


def another_record() -> Patches:
    settle = Committer._settle

    def changing(
        self: Committer, index: int, attempt: _Attempt, trouble: OSError | None, slow: bool
    ) -> Steps[None]:
        if trouble is not None and trouble.errno == errno.EIO:
            _renumber(self, attempt)
        yield from settle(self, index, attempt, trouble, slow)

    return [(Committer, "_settle", changing), (Committer, "commit", _commit_keeping_house)]


def apply_without_reading() -> Patches:
    """EEXIST is taken for a resent request that succeeded."""
    from volumelease.core.records import Entry

    try_at = Committer._try_at

    def trusting(self: Committer, index: int, body: Any, attempt: _Attempt) -> Steps[None]:
        steps = try_at(self, index, body, attempt)
        answer: Any = None
        trouble: OSError | None = None
        while True:
            try:
                effect = steps.send(answer) if trouble is None else steps.throw(trouble)
            except StopIteration:
                return
            answer = trouble = None
            try:
                answer = yield effect
            except OSError as error:
                if error.errno == errno.EEXIST:
                    entry = Entry(self._author, attempt.number, attempt.wall, body)
                    mark = self._replica.mark
                    assert mark is not None
                    self._replica.apply(index, mark, entry, "assumed", self._clock.boottime())
                    return
                trouble = error

    return [(Committer, "_try_at", trusting)]


def abandoned_answers_kept() -> Patches:
    def keep(self: Requests, acquire: Acquire) -> None:
        """Only what no call was ever answered with is given back."""

    return [(Requests, "give_up", keep)]


def orphans_dropped() -> Patches:
    def careless(self: Requests) -> Steps[None]:
        return
        yield

    return [(Requests, "give_back_unwanted", careless)]


def known_a_while_ago() -> Patches:
    catch_up = Replica.catch_up

    def trusting(self: Replica) -> Steps[None]:
        if self._complete_at > self._clock.boottime() - 1.0:
            return
        yield from catch_up(self)

    return [(Replica, "catch_up", trusting)]


def the_end_of_another_segment() -> Patches:
    """What is free after the last place of a closed segment ends the reading of the next one."""

    def catch_up(self: Replica) -> Steps[None]:
        called_at = self._clock.boottime()
        end: ground.End | None = None
        read = 0
        while self._complete_at <= called_at:
            if (yield from self._read_on()):
                return
            read += 1
            if end is not None and self.next_index >= end.at:
                self._know_all_at(end.asked_at)
            elif end is None and read >= replica.READ_IN_A_ROW and self.directory is not None:
                end = yield from ground.find_end(
                    self.layout, self.name, self.place, self.directory, self._clock
                )

    def free_place(
        layout: Layout, name: str, place: int, directory: Directory, clock: Clock
    ) -> Steps[ground.End | None]:
        ahead = ground.LEAST_AHEAD
        while place + ahead < records.SEGMENT_ENTRIES:
            asked_at = clock.boottime()
            found, _ = yield from ground.read_place(layout, str(place + ahead), directory)
            if not found:
                at = number_of(name) * records.SEGMENT_ENTRIES + place + ahead
                return ground.End(name, at, asked_at)
            ahead *= 2
        return None

    return [(Replica, "catch_up", catch_up), (ground, "free_place", free_place)]
